import com.fasterxml.jackson.jr.ob.JSON;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import software.amazon.awssdk.services.sesv2.model.EmailTemplateContent;
import software.amazon.awssdk.services.sesv2.model.MessageHeader;
import software.amazon.awssdk.services.sesv2.model.MessageTag;

/** What a mail says. */
final class Mail {
    private static final String SHOP = System.getenv("SHOP_NAME");
    private static final SecretKeySpec KEY =
            new SecretKeySpec(System.getenv("UNSUBSCRIBE_KEY").getBytes(StandardCharsets.UTF_8), "HmacSHA256");

    static final String SENDER = SHOP + " <" + System.getenv("SENDER") + ">";
    static final EmailTemplateContent LAYOUT = EmailTemplateContent.builder()
            .subject("{{subject}}").html(layout("layout.html")).text(layout("layout.txt")).build();

    /** The product that is back, as far as mails show it. */
    record Restock(String restockId, String productId, double quantity, Map<?, ?> product) {
        /** Reads a record's JSON; null where it is none or has no product id. */
        static Restock read(byte[] json) {
            try {
                Map<String, Object> map = JSON.std.mapFrom(json);
                if (map != null && map.get("productId") instanceof String id && !id.isEmpty()) {
                    return new Restock(
                            map.get("restockId") instanceof String restock ? restock : "",
                            id,
                            map.get("quantity") instanceof Number quantity ? quantity.doubleValue() : 0,
                            map.get("product") instanceof Map<?, ?> product ? product : Map.of());
                }
            } catch (IOException unreadable) {
                // As if it had no id.
            }
            return null;
        }

        private String product(String name, String otherwise) {
            return product.get(name) instanceof String value && !value.isEmpty() ? value : otherwise;
        }
    }

    /** What every mail about this restock says. */
    static Map<String, String> sharedData(Restock restock) {
        String product = restock.product("name", restock.productId);
        String link = System.getenv("PRODUCT_URL").replace("{productId}", percentEncoded(restock.productId));
        Map<String, String> data = new HashMap<>();
        data.put("lang", "en");
        data.put("subject", product + " is back in stock");
        both(data, "product", product);
        both(data, "productUrl", restock.product("url", link));
        both(data, "imageUrl", restock.product("imageUrl", ""));
        both(data, "price", restock.product("price", ""));
        both(data, "greeting", "Hello,");
        both(data, "news", product + " is back in stock at " + SHOP + ".");
        both(data, "hurry", "We notify people in the order they signed up. Stock may be limited.");
        both(data, "action", "See it in the shop");
        both(data, "reason",
                "You are receiving this email because you asked " + SHOP + " to notify you when " + product + " is back in stock.");
        both(data, "unsubscribe", "Unsubscribe from this alert");
        return data;
    }

    /** What only this subscriber's mail says. */
    static Map<String, String> recipientData(String name, String unsubscribeUrl) {
        Map<String, String> data = new HashMap<>();
        if (name != null) {
            both(data, "greeting", "Hello " + name + ",");
        }
        both(data, "unsubscribeUrl", unsubscribeUrl);
        return data;
    }

    /** Puts in a value as it is, and escaped for the HTML part, since SES escapes nothing. */
    private static void both(Map<String, String> data, String name, String value) {
        data.put(name, value);
        data.put(name + "Html", value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
                .replace("\"", "&quot;").replace("'", "&#39;"));
    }

    static String unsubscribeUrl(String productId, String userId) {
        String entry = productId + "\0" + userId;
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(KEY);
            byte[] proof = mac.doFinal(("notify-me unsubscribe\0" + entry).getBytes(StandardCharsets.UTF_8));
            byte[] body = ("\u0001" + entry).getBytes(StandardCharsets.UTF_8);
            byte[] token = Arrays.copyOf(body, body.length + 16);
            System.arraycopy(proof, 0, token, body.length, 16);
            return System.getenv("UNSUBSCRIBE_URL")
                    .replace("{token}", Base64.getUrlEncoder().withoutPadding().encodeToString(token));
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible); // Every JVM has HMAC-SHA256.
        }
    }

    static List<MessageHeader> headers(String url) {
        return List.of(
                MessageHeader.builder().name("List-Unsubscribe").value("<" + url + ">").build(),
                MessageHeader.builder().name("List-Unsubscribe-Post").value("List-Unsubscribe=One-Click").build());
    }

    static MessageTag tag(Restock restock) {
        return MessageTag.builder().name("restock").value(restock.restockId.replaceAll("[^A-Za-z0-9-]", "_")).build();
    }

    static String json(Map<String, String> data) {
        try {
            return JSON.std.asString(data);
        } catch (IOException impossible) {
            throw new UncheckedIOException(impossible); // Strings always have a JSON form.
        }
    }

    private static String layout(String name) {
        try {
            return Files.readString(Path.of(System.getenv("LAYOUT_DIR"), name));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** Every byte but letters and digits, which is more than URLEncoder does. */
    private static String percentEncoded(String text) {
        StringBuilder out = new StringBuilder();
        for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
            boolean plain = b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z';
            out.append(plain ? String.valueOf((char) b) : String.format("%%%02X", b));
        }
        return out.toString();
    }
}
