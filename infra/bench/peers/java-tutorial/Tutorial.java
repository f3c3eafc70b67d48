import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A consumer as Kafka tutorials have it: a loop that polls, and offsets that are committed by themselves. */
public final class Tutorial {
    public static void main(String[] arguments) {
        Properties settings = new Properties();
        settings.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("KAFKA_BOOTSTRAP_SERVERS"));
        settings.put(ConsumerConfig.GROUP_ID_CONFIG, setting("KAFKA_GROUP", "notification-service"));
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        settings.put(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, StringDeserializer.class.getName());
        settings.put(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, StringDeserializer.class.getName());

        Notifier notifier = new Notifier();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
            consumer.subscribe(List.of(setting("KAFKA_TOPIC", "item-restocked")));
            while (true) {
                for (ConsumerRecord<String, String> message : consumer.poll(Duration.ofMillis(100))) {
                    try {
                        process(notifier, message);
                    } catch (RuntimeException error) {
                        error.printStackTrace(); // And on with the next one.
                    }
                }
            }
        }
    }

    private static String setting(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }

    private static void process(Notifier notifier, ConsumerRecord<String, String> message) {
        String value = message.value();
        Mail.Restock restock = value == null ? null : Mail.Restock.read(value.getBytes(StandardCharsets.UTF_8));
        if (restock != null) {
            notifier.tell(restock);
        } else {
            System.out.println(
                    message.topic() + "-" + message.partition() + "@" + message.offset() + " cannot be read");
        }
    }
}
