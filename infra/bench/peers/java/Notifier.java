import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.stream.Collectors;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.QueryRequest;
import software.amazon.awssdk.services.dynamodb.model.WriteRequest;
import software.amazon.awssdk.services.sesv2.SesV2Client;
import software.amazon.awssdk.services.sesv2.model.BulkEmailEntry;
import software.amazon.awssdk.services.sesv2.model.BulkEmailEntryResult;
import software.amazon.awssdk.services.sesv2.model.Template;
import software.amazon.awssdk.services.sesv2.model.TooManyRequestsException;

/**
 * Tells everybody who waits for a product that it is back: as tutorials do it (FORM=naive), or as somebody who has read
 * the SES and DynamoDB guides does (FORM=tuned).
 */
final class Notifier {
    private static final int CHUNK = 50; // SES's limit per bulk call.
    private static final int IN_FLIGHT = 8;
    private static final int DELETES = 25; // DynamoDB's limit per batch.
    private static final int TRIES = 6;

    private static final String TABLE = System.getenv("TABLE_NAME");
    private static final boolean TUNED = "tuned".equals(System.getenv("FORM"));

    // Made once, at init. Region, credentials and endpoints come from the environment.
    private final DynamoDbClient waits = DynamoDbClient.create();
    private final SesV2Client mailer = SesV2Client.create();
    private final ExecutorService pool = Executors.newFixedThreadPool(IN_FLIGHT);

    record Subscriber(String userId, String address, String name) {
        static Subscriber of(Map<String, AttributeValue> item) {
            AttributeValue name = item.get("name");
            return new Subscriber(item.get("userId").s(), item.get("address").s(), name == null ? null : name.s());
        }
    }

    void tell(Mail.Restock restock) {
        if (restock.quantity() <= 0) {
            return;
        }
        int[] sums = TUNED ? tuned(restock) : naive(restock);
        System.out.println(restock.productId() + ": " + sums[0] + " told, " + sums[1] + " failed");
    }

    /** Page by page, who waits for a product and has not been told. */
    private Iterable<Map<String, AttributeValue>> everybody(Mail.Restock restock) {
        return waits.queryPaginator(QueryRequest.builder()
                .tableName(TABLE)
                .keyConditionExpression("productId = :product")
                .filterExpression("attribute_not_exists(notifiedAt)")
                .expressionAttributeValues(Map.of(":product", AttributeValue.fromS(restock.productId())))
                .build()).items();
    }

    private static Map<String, AttributeValue> key(Mail.Restock restock, Subscriber to) {
        return Map.of(
                "productId", AttributeValue.fromS(restock.productId()), "userId", AttributeValue.fromS(to.userId));
    }

    private int[] naive(Mail.Restock restock) {
        Map<String, String> data = Mail.sharedData(restock);
        int told = 0;
        for (Map<String, AttributeValue> item : everybody(restock)) {
            Subscriber to = Subscriber.of(item);
            String url = Mail.unsubscribeUrl(restock.productId(), to.userId);
            Map<String, String> own = new HashMap<>(data);
            own.putAll(Mail.recipientData(to.name, url));
            mailer.sendEmail(mail -> mail
                    .fromEmailAddress(Mail.SENDER)
                    .destination(destination -> destination.toAddresses(to.address))
                    .content(content -> content.template(template -> template
                            .templateContent(Mail.LAYOUT).templateData(Mail.json(own)).headers(Mail.headers(url))))
                    .emailTags(Mail.tag(restock)));
            waits.updateItem(update -> update
                    .tableName(TABLE)
                    .key(key(restock, to))
                    .updateExpression("SET notifiedAt = :now")
                    .expressionAttributeValues(Map.of(":now", AttributeValue.fromS(Instant.now().toString()))));
            told++;
        }
        return new int[] {told, 0};
    }

    private int[] tuned(Mail.Restock restock) {
        Template template = Template.builder()
                .templateContent(Mail.LAYOUT).templateData(Mail.json(Mail.sharedData(restock))).build();
        Semaphore free = new Semaphore(IN_FLIGHT);
        List<Future<int[]>> flights = new ArrayList<>();
        List<Subscriber> chunk = new ArrayList<>(CHUNK);
        for (Map<String, AttributeValue> item : everybody(restock)) {
            chunk.add(Subscriber.of(item));
            if (chunk.size() == CHUNK) {
                flights.add(submit(free, restock, template, chunk));
                chunk = new ArrayList<>(CHUNK);
            }
        }
        if (!chunk.isEmpty()) {
            flights.add(submit(free, restock, template, chunk));
        }
        int[] sums = new int[2];
        for (Future<int[]> flight : flights) {
            try {
                sums[0] += flight.get()[0];
                sums[1] += flight.get()[1];
            } catch (InterruptedException | ExecutionException error) {
                throw new IllegalStateException(error);
            }
        }
        return sums;
    }

    private Future<int[]> submit(Semaphore free, Mail.Restock restock, Template template, List<Subscriber> chunk) {
        // Waits for a free place, so no more is read than can be sent.
        free.acquireUninterruptibly();
        return pool.submit(() -> {
            try {
                List<Subscriber> told = send(restock, template, chunk);
                remove(restock, told);
                return new int[] {told.size(), chunk.size() - told.size()};
            } finally {
                free.release();
            }
        });
    }

    /** Mails one chunk, those that were throttled again, and returns who was told. */
    private List<Subscriber> send(Mail.Restock restock, Template template, List<Subscriber> chunk)
            throws InterruptedException {
        List<Subscriber> told = new ArrayList<>(chunk.size());
        List<Subscriber> left = chunk;
        for (int attempt = 0; attempt < TRIES && !left.isEmpty(); attempt++) {
            if (attempt > 0) {
                pause(attempt - 1);
            }
            List<BulkEmailEntry> entries = left.stream().map(to -> entry(restock, to)).collect(Collectors.toList());
            List<BulkEmailEntryResult> results;
            try {
                results = mailer.sendBulkEmail(mail -> mail
                        .fromEmailAddress(Mail.SENDER)
                        .defaultContent(content -> content.template(template))
                        .defaultEmailTags(Mail.tag(restock))
                        .bulkEmailEntries(entries)).bulkEmailEntryResults();
            } catch (TooManyRequestsException throttled) {
                continue;
            }
            List<Subscriber> again = new ArrayList<>();
            for (int i = 0; i < results.size(); i++) {
                switch (results.get(i).status()) {
                    case SUCCESS -> told.add(left.get(i));
                    case ACCOUNT_THROTTLED, TRANSIENT_FAILURE -> again.add(left.get(i));
                    default -> { } // Counted as failed by whoever counts those told.
                }
            }
            left = again;
        }
        return told;
    }

    private static BulkEmailEntry entry(Mail.Restock restock, Subscriber to) {
        String url = Mail.unsubscribeUrl(restock.productId(), to.userId);
        String data = Mail.json(Mail.recipientData(to.name, url));
        return BulkEmailEntry.builder()
                .destination(destination -> destination.toAddresses(to.address))
                .replacementEmailContent(content ->
                        content.replacementTemplate(template -> template.replacementTemplateData(data)))
                .replacementHeaders(Mail.headers(url))
                .build();
    }

    /** Takes those who were told out of the table. */
    private void remove(Mail.Restock restock, List<Subscriber> told) throws InterruptedException {
        for (int start = 0; start < told.size(); start += DELETES) {
            List<WriteRequest> requests = told.subList(start, Math.min(start + DELETES, told.size())).stream()
                    .map(to -> WriteRequest.builder().deleteRequest(delete -> delete.key(key(restock, to))).build())
                    .collect(Collectors.toList());
            for (int attempt = 0; !requests.isEmpty(); attempt++) {
                if (attempt > 0) {
                    pause(Math.min(attempt - 1, TRIES));
                }
                Map<String, List<WriteRequest>> items = Map.of(TABLE, requests);
                requests = waits.batchWriteItem(batch -> batch.requestItems(items))
                        .unprocessedItems().getOrDefault(TABLE, List.of());
            }
        }
    }

    private static void pause(int attempt) throws InterruptedException {
        Thread.sleep(250L << attempt);
    }
}
