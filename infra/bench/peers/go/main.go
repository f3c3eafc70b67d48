// Tells everybody who waits for a product that it is back: as tutorials do it (FORM=naive), or as somebody who has read
// the SES and DynamoDB guides does (FORM=tuned).
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"os"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	db "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	ses "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"golang.org/x/sync/errgroup"
)

// Made once, at init: connections and credentials then outlive an invocation.
var (
	table  = os.Getenv("TABLE_NAME")
	waits  *dynamodb.Client
	mailer *sesv2.Client
)

func main() {
	settings, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	waits, mailer = dynamodb.NewFromConfig(settings), sesv2.NewFromConfig(settings)
	lambda.Start(handle)
}

func handle(ctx context.Context, event events.KafkaEvent) (map[string][]string, error) {
	tell := naive
	if os.Getenv("FORM") == "tuned" {
		tell = tuned
	}
	var restocks []*restock
	count := 0
	for _, records := range event.Records {
		for _, record := range records {
			count++
			if r, err := read(record.Value); err == nil {
				restocks = append(restocks, r)
			} else {
				log.Printf("%s-%d@%d cannot be read: %v", record.Topic, record.Partition, record.Offset, err)
			}
		}
	}
	// A whole batch that cannot be read says that the producer changed, and wants to be seen.
	if count > 1 && len(restocks) == 0 {
		return nil, fmt.Errorf("none of %d records can be read", count)
	}
	for _, r := range restocks {
		if r.Quantity <= 0 {
			continue
		}
		told, failed, err := tell(ctx, r)
		log.Printf("%s: %d told, %d failed", r.ProductID, told, failed)
		if err != nil {
			return nil, err
		}
	}
	return map[string][]string{"batchItemFailures": {}}, nil
}

func read(value string) (*restock, error) {
	bytes, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, err
	}
	r := new(restock)
	if err := json.Unmarshal(bytes, r); err != nil {
		return nil, err
	}
	if r.ProductID == "" {
		return nil, errors.New("no productId")
	}
	return r, nil
}

// everybody hands out, page by page, who waits for a product and has not been told.
func everybody(ctx context.Context, productID string, page func([]subscriber) error) error {
	pages := dynamodb.NewQueryPaginator(waits, &dynamodb.QueryInput{
		TableName:                 &table,
		KeyConditionExpression:    aws.String("productId = :product"),
		FilterExpression:          aws.String("attribute_not_exists(notifiedAt)"),
		ExpressionAttributeValues: map[string]db.AttributeValue{":product": s(productID)},
	})
	for pages.HasMorePages() {
		found, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		subscribers := make([]subscriber, len(found.Items))
		for i, item := range found.Items {
			subscribers[i] = subscriber{text(item["userId"]), text(item["address"]), text(item["name"])}
		}
		if err := page(subscribers); err != nil {
			return err
		}
	}
	return nil
}

func naive(ctx context.Context, r *restock) (told, failed int64, err error) {
	shared := sharedData(r)
	err = everybody(ctx, r.ProductID, func(subscribers []subscriber) error {
		for _, to := range subscribers {
			url := unsubscribeURL(r.ProductID, to.userID)
			data := maps.Clone(shared)
			maps.Copy(data, recipientData(to, url))
			_, err := mailer.SendEmail(ctx, &sesv2.SendEmailInput{
				FromEmailAddress: &sender,
				Destination:      &ses.Destination{ToAddresses: []string{to.address}},
				Content:          &ses.EmailContent{Template: template(data, headers(url))},
				EmailTags:        tags(r),
			})
			if err != nil {
				return err
			}
			_, err = waits.UpdateItem(ctx, &dynamodb.UpdateItemInput{
				TableName:        &table,
				Key:              key(r, to),
				UpdateExpression: aws.String("SET notifiedAt = :now"),
				ExpressionAttributeValues: map[string]db.AttributeValue{
					":now": s(time.Now().UTC().Format(time.RFC3339)),
				},
			})
			if err != nil {
				return err
			}
			told++
		}
		return nil
	})
	return told, failed, err
}

const (
	chunkSize = 50 // SES's limit per bulk call.
	inFlight  = 8
	deletes   = 25 // DynamoDB's limit per batch.
	tries     = 6
)

func pause(try int) { time.Sleep(250 * time.Millisecond << try) }

func tuned(ctx context.Context, r *restock) (int64, int64, error) {
	content := &ses.BulkEmailContent{Template: template(sharedData(r), nil)}
	var told, failed atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	// Go waits for a free place, so no more is read than can be sent.
	send := func(chunk []subscriber) {
		group.Go(func() error {
			done, err := sendChunk(ctx, r, content, chunk)
			if err != nil {
				return err
			}
			told.Add(int64(len(done)))
			failed.Add(int64(len(chunk) - len(done)))
			return remove(ctx, r, done)
		})
	}
	var rest []subscriber // What is left of a page fills up with the next one.
	err := everybody(ctx, r.ProductID, func(page []subscriber) error {
		rest = append(rest, page...)
		for ; len(rest) >= chunkSize; rest = rest[chunkSize:] {
			send(rest[:chunkSize:chunkSize])
		}
		return nil
	})
	if err == nil && len(rest) > 0 {
		send(rest)
	}
	// An error of a chunk cancels the query, and is the one that says why.
	if cause := group.Wait(); cause != nil {
		err = cause
	}
	return told.Load(), failed.Load(), err
}

// sendChunk mails one chunk, those that were throttled again, and returns who was told.
func sendChunk(
	ctx context.Context, r *restock, content *ses.BulkEmailContent, left []subscriber,
) ([]subscriber, error) {
	var told []subscriber
	for try := 0; try < tries && len(left) > 0; try++ {
		if try > 0 {
			pause(try - 1)
		}
		entries := make([]ses.BulkEmailEntry, len(left))
		for i, to := range left {
			url := unsubscribeURL(r.ProductID, to.userID)
			entries[i] = ses.BulkEmailEntry{
				Destination: &ses.Destination{ToAddresses: []string{to.address}},
				ReplacementEmailContent: &ses.ReplacementEmailContent{
					ReplacementTemplate: &ses.ReplacementTemplate{ReplacementTemplateData: toJSON(recipientData(to, url))},
				},
				ReplacementHeaders: headers(url),
			}
		}
		answer, err := mailer.SendBulkEmail(ctx, &sesv2.SendBulkEmailInput{
			FromEmailAddress: &sender,
			DefaultContent:   content,
			DefaultEmailTags: tags(r),
			BulkEmailEntries: entries,
		})
		if throttled := (*ses.TooManyRequestsException)(nil); errors.As(err, &throttled) {
			continue
		} else if err != nil {
			return told, err
		}
		var again []subscriber
		for i, result := range answer.BulkEmailEntryResults {
			switch result.Status {
			case ses.BulkEmailStatusSuccess:
				told = append(told, left[i])
			case ses.BulkEmailStatusAccountThrottled, ses.BulkEmailStatusTransientFailure:
				again = append(again, left[i])
			}
		}
		left = again
	}
	return told, nil
}

// remove takes those who were told out of the table.
func remove(ctx context.Context, r *restock, told []subscriber) error {
	for len(told) > 0 {
		batch := told[:min(deletes, len(told))]
		told = told[len(batch):]
		requests := make([]db.WriteRequest, len(batch))
		for i, to := range batch {
			requests[i] = db.WriteRequest{DeleteRequest: &db.DeleteRequest{Key: key(r, to)}}
		}
		for try := 0; len(requests) > 0; try++ {
			if try > 0 {
				pause(min(try-1, tries))
			}
			answer, err := waits.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
				RequestItems: map[string][]db.WriteRequest{table: requests},
			})
			if err != nil {
				return err
			}
			requests = answer.UnprocessedItems[table]
		}
	}
	return nil
}

func template(data map[string]string, headers []ses.MessageHeader) *ses.Template {
	return &ses.Template{
		TemplateContent: &ses.EmailTemplateContent{Subject: aws.String("{{subject}}"), Html: &html, Text: &plain},
		TemplateData:    toJSON(data),
		Headers:         headers,
	}
}

func headers(url string) []ses.MessageHeader {
	return []ses.MessageHeader{
		{Name: aws.String("List-Unsubscribe"), Value: aws.String("<" + url + ">")},
		{Name: aws.String("List-Unsubscribe-Post"), Value: aws.String("List-Unsubscribe=One-Click")},
	}
}

func tags(r *restock) []ses.MessageTag {
	return []ses.MessageTag{{Name: aws.String("restock"), Value: aws.String(noTag.ReplaceAllString(r.RestockID, "_"))}}
}

func key(r *restock, to subscriber) map[string]db.AttributeValue {
	return map[string]db.AttributeValue{"productId": s(r.ProductID), "userId": s(to.userID)}
}

func s(value string) db.AttributeValue { return &db.AttributeValueMemberS{Value: value} }

func text(value db.AttributeValue) string {
	if value, ok := value.(*db.AttributeValueMemberS); ok {
		return value.Value
	}
	return ""
}
