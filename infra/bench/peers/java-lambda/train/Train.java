import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.FileInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

/**
 * Lets the built function work through one event against a pretended Lambda, DynamoDB and SES, and ends it in order, so
 * that it leaves an archive of the classes that it loaded. Exits with 1 where the function failed.
 */
public final class Train {
    private static final String RESTOCK =
            "{\"restockId\":\"r\",\"productId\":\"p\",\"quantity\":1,\"product\":{\"name\":\"P\",\"url\":\"u\"}}";
    private static final String EVENT = "{\"records\":{\"item-restocked-0\":["
            + "{\"topic\":\"item-restocked\",\"partition\":0,\"offset\":0,\"value\":\"" + Base64.getEncoder().encodeToString(RESTOCK.getBytes()) + "\"}]}}";
    private static final String ITEMS = "{\"Items\":[{\"productId\":{\"S\":\"p\"},\"userId\":{\"S\":\"u\"},"
            + "\"address\":{\"S\":\"a@example.com\"},\"name\":{\"S\":\"Jo\"}}],\"Count\":1}";

    public static void main(String[] arguments) throws Exception {
        Path out = Path.of(arguments[0]);
        KeyStore keys = KeyStore.getInstance("PKCS12");
        try (FileInputStream file = new FileInputStream(out.resolve("train.p12").toFile())) {
            keys.load(file, "changeit".toCharArray());
        }
        KeyManagerFactory managers = KeyManagerFactory.getInstance("PKIX");
        managers.init(keys, "changeit".toCharArray());
        SSLContext tls = SSLContext.getInstance("TLS");
        tls.init(managers.getKeyManagers(), null, null);

        InetSocketAddress anyPort = new InetSocketAddress("127.0.0.1", 0);
        HttpsServer aws = HttpsServer.create(anyPort, 0);
        aws.setHttpsConfigurator(new HttpsConfigurator(tls));
        aws.createContext("/", call -> {
            String target = call.getRequestHeaders().getFirst("X-Amz-Target");
            answer(call, target == null ? "{\"BulkEmailEntryResults\":[{\"Status\":\"SUCCESS\",\"MessageId\":\"m\"}]}"
                    : target.endsWith("Query") ? ITEMS : "{\"UnprocessedItems\":{}}");
        });
        CountDownLatch answered = new CountDownLatch(1);
        boolean[] done = {false};
        HttpServer lambda = HttpServer.create(anyPort, 0);
        lambda.createContext("/", call -> {
            if (call.getRequestMethod().equals("GET") && answered.getCount() == 0) {
                return; // There is no second event.
            }
            call.getResponseHeaders().add("Lambda-Runtime-Aws-Request-Id", "1");
            call.getResponseHeaders().add("Lambda-Runtime-Deadline-Ms", "" + (System.currentTimeMillis() + 60_000));
            call.getResponseHeaders().add("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:x:1:function:f");
            answer(call, EVENT);
            String path = call.getRequestURI().getPath();
            done[0] |= path.endsWith("/response");
            if (path.endsWith("/response") || path.endsWith("/error")) {
                answered.countDown();
            }
        });
        for (HttpServer server : new HttpServer[] {aws, lambda}) {
            server.setExecutor(Executors.newCachedThreadPool());
            server.start();
        }

        Path layouts = Files.createDirectories(out.resolve("train-layouts"));
        Files.writeString(layouts.resolve("layout.html"), "");
        Files.writeString(layouts.resolve("layout.txt"), "");
        ProcessBuilder function = new ProcessBuilder(out.resolve("run").toString()).inheritIO();
        String url = "https://127.0.0.1:" + aws.getAddress().getPort();
        function.environment().putAll(Map.of(
                "FORM", "tuned", "ARCHIVE", "-XX:ArchiveClassesAtExit=" + out.resolve("classes.jsa"),
                "TRUST_STORE", out.resolve("train.p12").toString(), "LAYOUT_DIR", layouts.toString(),
                "AWS_LAMBDA_RUNTIME_API", "127.0.0.1:" + lambda.getAddress().getPort(),
                "AWS_ENDPOINT_URL_DYNAMODB", url, "AWS_ENDPOINT_URL_SESV2", url));
        function.environment().putAll(Map.of(
                "AWS_LAMBDA_FUNCTION_NAME", "f", "AWS_LAMBDA_FUNCTION_VERSION", "1",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512", "AWS_REGION", "eu-west-1",
                "AWS_ACCESS_KEY_ID", "x", "AWS_SECRET_ACCESS_KEY", "x"));
        function.environment().putAll(Map.of(
                "TABLE_NAME", "t", "SENDER", "s@example.com", "SHOP_NAME", "S", "PRODUCT_URL", "{productId}",
                "UNSUBSCRIBE_URL", "{token}", "UNSUBSCRIBE_KEY", "0123456789abcdef"));
        Process process = function.start();
        process.onExit().thenRun(answered::countDown);
        answered.await();
        process.destroy(); // SIGTERM: the JVM ends in order and writes the archive.
        process.waitFor();
        System.exit(done[0] ? 0 : 1);
    }

    private static void answer(HttpExchange call, String body) throws IOException {
        call.getRequestBody().readAllBytes();
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        call.getResponseHeaders().add("Content-Type", "application/json");
        call.sendResponseHeaders(200, bytes.length);
        call.getResponseBody().write(bytes);
        call.close();
    }
}
