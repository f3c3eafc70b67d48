import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import com.fasterxml.jackson.jr.ob.JSON;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;

/** The function. A stream handler: an event class of AWS's would bring its data binding along, which starts slowly. */
public final class Handler implements RequestStreamHandler {
    private final Notifier notifier = new Notifier();

    @Override
    public void handleRequest(InputStream input, OutputStream output, Context context) throws IOException {
        List<Mail.Restock> restocks = new ArrayList<>();
        int count = 0;
        for (Object records : ((Map<?, ?>) JSON.std.mapFrom(input).get("records")).values()) {
            for (Object each : (List<?>) records) {
                Map<?, ?> kafka = (Map<?, ?>) each;
                count++;
                Mail.Restock restock = read(kafka.get("value"));
                if (restock != null) {
                    restocks.add(restock);
                } else {
                    System.out.println(kafka.get("topic") + "-" + kafka.get("partition") + "@" + kafka.get("offset")
                            + " cannot be read");
                }
            }
        }
        // A whole batch that cannot be read says that the producer changed, and wants to be seen.
        if (count > 1 && restocks.isEmpty()) {
            throw new IllegalArgumentException("none of " + count + " records can be read");
        }
        restocks.forEach(notifier::tell);
        output.write("{\"batchItemFailures\":[]}".getBytes(StandardCharsets.UTF_8));
    }

    private static Mail.Restock read(Object value) {
        try {
            return value instanceof String text ? Mail.Restock.read(Base64.getDecoder().decode(text)) : null;
        } catch (IllegalArgumentException notBase64) {
            return null;
        }
    }
}
