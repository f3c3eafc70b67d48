// Stands in for the check that Amazon MSK's brokers make of an IAM token, in a broker of `infra/real-parts --secure`.
//
// Decides whether a token is a request to connect that somebody with the known key has signed, for this region, not
// longer ago than it allows. Says why not. It knows nothing of policies: who may sign may connect. Written from AWS's
// documentation of Signature Version 4; what MSK itself answers in each case only MSK can show.

import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerExtensionsValidatorCallback;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/** Options of its JAAS entry: region, accessKeyId, secretAccessKey. */
public final class MskTokenValidator implements AuthenticateCallbackHandler {
    /** How far a client's clock may be ahead. */
    private static final Duration AHEAD = Duration.ofMinutes(5);
    private static final int LONGEST_SECONDS = 900;
    private static final DateTimeFormatter DATE = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'");
    private static final String EMPTY_BODY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    private String region;
    private String accessKeyId;
    private String secretAccessKey;

    /** A token that is refused, with the reason. */
    private static final class Refused extends Exception {
        Refused(String reason) {
            super(reason);
        }
    }

    private record Token(String value, String principalName, long lifetimeMs, Long startTimeMs, Set<String> scope)
            implements OAuthBearerToken {}

    @Override
    public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {
        Map<String, ?> options = entries.get(0).getOptions();
        region = (String) options.get("region");
        accessKeyId = (String) options.get("accessKeyId");
        secretAccessKey = (String) options.get("secretAccessKey");
    }

    @Override
    public void handle(Callback[] callbacks) throws UnsupportedCallbackException {
        for (Callback callback : callbacks) {
            if (callback instanceof OAuthBearerValidatorCallback validator) {
                try {
                    validator.token(validate(validator.tokenValue(), Instant.now()));
                } catch (Refused refused) {
                    validator.error(refused.getMessage(), null, null);
                }
            } else if (callback instanceof OAuthBearerExtensionsValidatorCallback extensions) {
                extensions.inputExtensions().map().keySet().forEach(name -> extensions.error(name, "no extensions"));
            } else {
                throw new UnsupportedCallbackException(callback);
            }
        }
    }

    @Override
    public void close() {}

    private Token validate(String token, Instant now) throws Refused {
        URI uri = uri(token);
        check("https".equals(uri.getScheme()), "not an https URL");
        check(("kafka." + region + ".amazonaws.com").equals(uri.getHost()), "the host is not that of " + region);
        check("/".equals(uri.getPath()), "the path is not /");
        TreeMap<String, String> query = query(uri.getRawQuery());
        check(decoded(query.get("User-Agent")).startsWith("notify-me/"), "no User-Agent of notify-me");
        check(decoded(query.get("Action")).equals("kafka-cluster:Connect"), "the action is not kafka-cluster:Connect");
        check(decoded(query.get("X-Amz-Algorithm")).equals("AWS4-HMAC-SHA256"), "the algorithm is another");
        check(decoded(query.get("X-Amz-SignedHeaders")).equals("host"), "the signed headers are not host alone");

        String date = decoded(query.get("X-Amz-Date"));
        Instant signed = instant(date);
        String day = date.substring(0, 8);
        String scope = day + "/" + region + "/kafka-cluster/aws4_request";
        check(decoded(query.get("X-Amz-Credential")).equals(accessKeyId + "/" + scope), "the credential is another");
        String signature = decoded(query.get("X-Amz-Signature"));
        check(signature.matches("[0-9a-f]{64}"), "the signature has not 64 hexadecimal digits");
        check(signature.equals(signature(query, uri.getHost(), date, scope)), "the signature is wrong");

        long seconds = seconds(decoded(query.get("X-Amz-Expires")));
        check(seconds > 0 && seconds <= LONGEST_SECONDS, "it may last " + LONGEST_SECONDS + " seconds at most");
        check(!signed.isAfter(now.plus(AHEAD)), "it was signed in the future");
        Instant end = signed.plusSeconds(seconds);
        check(end.isAfter(now), "the token has expired");
        return new Token(token, accessKeyId, end.toEpochMilli(), signed.toEpochMilli(), Set.of());
    }

    private static void check(boolean holds, String reason) throws Refused {
        if (!holds) {
            throw new Refused(reason);
        }
    }

    private static URI uri(String token) throws Refused {
        check(!token.contains("="), "the base64 has padding");
        try {
            return URI.create(new String(Base64.getUrlDecoder().decode(token), StandardCharsets.US_ASCII));
        } catch (IllegalArgumentException e) {
            throw new Refused("not a URL in base64url");
        }
    }

    /** The parameters as they were sent, by name. */
    private static TreeMap<String, String> query(String raw) throws Refused {
        check(raw != null, "there is no query");
        TreeMap<String, String> query = new TreeMap<>();
        for (String parameter : raw.split("&")) {
            String[] halves = parameter.split("=", 2);
            check(halves.length == 2 && query.put(halves[0], halves[1]) == null, "a parameter twice or without a value");
        }
        return query;
    }

    private static String decoded(String value) throws Refused {
        check(value != null, "a parameter is missing");
        return URLDecoder.decode(value, StandardCharsets.UTF_8);
    }

    private static Instant instant(String date) throws Refused {
        try {
            return LocalDateTime.parse(date, DATE).toInstant(ZoneOffset.UTC);
        } catch (DateTimeParseException e) {
            throw new Refused("X-Amz-Date is no date");
        }
    }

    private static long seconds(String text) throws Refused {
        try {
            return Long.parseLong(text);
        } catch (NumberFormatException e) {
            throw new Refused("X-Amz-Expires is no number");
        }
    }

    private String signature(TreeMap<String, String> query, String host, String date, String scope) {
        StringBuilder signed = new StringBuilder();
        query.forEach((name, value) -> {
            if (!name.equals("X-Amz-Signature") && !name.equals("User-Agent")) {
                signed.append(signed.isEmpty() ? "" : "&").append(name).append('=').append(value);
            }
        });
        String request = String.join("\n", "GET", "/", signed, "host:" + host, "", "host", EMPTY_BODY);
        String text = String.join("\n", "AWS4-HMAC-SHA256", date, scope, HexFormat.of().formatHex(sha256(request)));
        byte[] key = ("AWS4" + secretAccessKey).getBytes(StandardCharsets.UTF_8);
        for (String part : scope.split("/")) {
            key = hmac(key, part);
        }
        return HexFormat.of().formatHex(hmac(key, text));
    }

    private static byte[] sha256(String text) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
        } catch (java.security.GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    private static byte[] hmac(byte[] key, String text) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
        } catch (java.security.GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }
}
