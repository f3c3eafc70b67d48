// Says that a product is back in stock, as a plain Java producer does: no key, the product id as text.
//
//   java -cp "$(infra/real-parts jars tutorial)/*" infra/java/TutorialProducer.java HOST:PORT PRODUCT_ID

import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public final class TutorialProducer {
    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 2) {
            System.err.println("usage: TutorialProducer HOST:PORT PRODUCT_ID");
            System.exit(2);
        }
        Properties settings = new Properties();
        settings.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, StringSerializer.class.getName());
        settings.put(ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, StringSerializer.class.getName());
        // A test waits for this program; the client's own two minutes are for one that runs on.
        settings.put(ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, "20000");
        settings.put(ProducerConfig.REQUEST_TIMEOUT_MS_CONFIG, "10000");
        settings.put(ProducerConfig.MAX_BLOCK_MS_CONFIG, "20000");
        try (Producer<String, String> producer = new KafkaProducer<>(settings)) {
            // `get` makes an error of the broker an error of this program.
            producer.send(new ProducerRecord<>("item-restocked", arguments[1])).get();
        }
    }
}
