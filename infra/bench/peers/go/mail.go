package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

type restock struct {
	RestockID string  `json:"restockId"`
	ProductID string  `json:"productId"`
	Quantity  float64 `json:"quantity"`
	Product   struct {
		Name     string `json:"name"`
		URL      string `json:"url"`
		ImageURL string `json:"imageUrl"`
		Price    string `json:"price"`
	} `json:"product"`
}

type subscriber struct{ userID, address, name string }

var (
	shop      = os.Getenv("SHOP_NAME")
	sender    = fmt.Sprintf("%s <%s>", shop, os.Getenv("SENDER"))
	html      = layout("layout.html")
	plain     = layout("layout.txt")
	noTag     = regexp.MustCompile(`[^A-Za-z0-9-]`)
	htmlChars = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;")
)

func layout(name string) string {
	text, err := os.ReadFile(filepath.Join(os.Getenv("LAYOUT_DIR"), name))
	if err != nil {
		panic(err)
	}
	return string(text)
}

// sharedData is what every mail about this restock says.
func sharedData(r *restock) map[string]string {
	product, url := r.Product.Name, r.Product.URL
	if product == "" {
		product = r.ProductID
	}
	if url == "" {
		url = strings.ReplaceAll(os.Getenv("PRODUCT_URL"), "{productId}", percentEncoded(r.ProductID))
	}
	data := map[string]string{"lang": "en", "subject": product + " is back in stock"}
	both(data, "product", product)
	both(data, "productUrl", url)
	both(data, "imageUrl", r.Product.ImageURL)
	both(data, "price", r.Product.Price)
	both(data, "greeting", "Hello,")
	both(data, "news", fmt.Sprintf("%s is back in stock at %s.", product, shop))
	both(data, "hurry", "We notify people in the order they signed up. Stock may be limited.")
	both(data, "action", "See it in the shop")
	both(data, "reason",
		fmt.Sprintf("You are receiving this email because you asked %s to notify you when %s is back in stock.", shop, product))
	both(data, "unsubscribe", "Unsubscribe from this alert")
	return data
}

// recipientData is what only this subscriber's mail says.
func recipientData(s subscriber, unsubscribeURL string) map[string]string {
	data := map[string]string{}
	if s.name != "" {
		both(data, "greeting", "Hello "+s.name+",")
	}
	both(data, "unsubscribeUrl", unsubscribeURL)
	return data
}

// both puts in a value as it is, and escaped for the HTML part, since SES escapes nothing.
func both(data map[string]string, name, value string) {
	data[name] = value
	data[name+"Html"] = htmlChars.Replace(value)
}

func unsubscribeURL(productID, userID string) string {
	entry := productID + "\x00" + userID
	mac := hmac.New(sha256.New, []byte(os.Getenv("UNSUBSCRIBE_KEY")))
	mac.Write([]byte("notify-me unsubscribe\x00" + entry))
	token := base64.RawURLEncoding.EncodeToString(append([]byte("\x01"+entry), mac.Sum(nil)[:16]...))
	return strings.ReplaceAll(os.Getenv("UNSUBSCRIBE_URL"), "{token}", token)
}

func percentEncoded(text string) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		if '0' <= b && b <= '9' || 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z' {
			out.WriteByte(b)
		} else {
			fmt.Fprintf(&out, "%%%02X", b)
		}
	}
	return out.String()
}

func toJSON(data map[string]string) *string {
	bytes, _ := json.Marshal(data) // A map of strings always has a JSON form.
	text := string(bytes)
	return &text
}
