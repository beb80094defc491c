// Package kubeapi reads and patches ConfigMaps over the Kubernetes API, as a pod does with the token of its
// ServiceAccount.
//
// It is not client-go because the server pays for it once per bot: the typed core/v1 client made a stripped server
// 18.6 MB larger and its idle process 12 MiB, the bare REST client with ConfigMap as its only type 7.3 MB and 4 MiB.
// Two requests of one kind need neither. The package knows nothing of sessions.
package kubeapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The API server refuses ConfigMaps whose values have more than 1 MiB together; base64 and metadata come on top.
const maxResponse = 4 << 20

// metadataOnly asks for the object's metadata in place of the object, which can be a megabyte.
const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// Client speaks to one API server. Its methods are safe for concurrent use.
type Client struct {
	// URL of the API server, without a path.
	URL string
	// HTTP authenticates and limits nothing in time: that is for the contexts.
	HTTP *http.Client
}

// Metadata is what is used of an object's metadata.
type Metadata struct {
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
}

// ConfigMap is what is used of a ConfigMap.
type ConfigMap struct {
	Metadata   Metadata          `json:"metadata"`
	Data       map[string]string `json:"data,omitempty"`
	BinaryData map[string][]byte `json:"binaryData,omitempty"`
}

// Error is the API server's refusal.
type Error struct {
	Code       int           // HTTP status
	Message    string        // the API server's own words; they name objects and verbs, never contents
	RetryAfter time.Duration // 0 if the API server does not say
}

func (e *Error) Error() string {
	return fmt.Sprintf("the API server answers %d: %s", e.Code, e.Message)
}

// IsNotFound tells whether the object is not there.
func IsNotFound(err error) bool { return hasCode(err, http.StatusNotFound) }

// IsConflict tells whether the object has another resourceVersion than the patch was made for.
func IsConflict(err error) bool { return hasCode(err, http.StatusConflict) }

func hasCode(err error, code int) bool {
	refused, ok := errors.AsType[*Error](err)
	return ok && refused.Code == code
}

// Get returns a ConfigMap.
func (c *Client) Get(ctx context.Context, namespace, name string) (ConfigMap, error) {
	var got ConfigMap
	if err := c.do(ctx, http.MethodGet, namespace, name, "", "application/json", nil, &got); err != nil {
		return ConfigMap{}, fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, name, err)
	}
	return got, nil
}

// GetMetadata returns a ConfigMap's metadata.
func (c *Client) GetMetadata(ctx context.Context, namespace, name string) (Metadata, error) {
	return c.metadata(ctx, namespace, name, "")
}

// GetCachedMetadata is like GetMetadata, but may be some moments old: the API server does not ask its database.
func (c *Client) GetCachedMetadata(ctx context.Context, namespace, name string) (Metadata, error) {
	return c.metadata(ctx, namespace, name, "?resourceVersion=0")
}

func (c *Client) metadata(ctx context.Context, namespace, name, query string) (Metadata, error) {
	var got ConfigMap
	if err := c.do(ctx, http.MethodGet, namespace, name, query, metadataOnly, nil, &got); err != nil {
		return Metadata{}, fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, name, err)
	}
	return got.Metadata, nil
}

// Patch merges change into a ConfigMap: a nil value removes its key, what is not named stays. If change has a
// resourceVersion and the object another one, nothing happens but an error that IsConflict. The object's new metadata
// is returned.
func (c *Client) Patch(ctx context.Context, namespace, name string, change ConfigMap) (Metadata, error) {
	body, err := json.Marshal(change)
	if err != nil {
		return Metadata{}, fmt.Errorf("encoding a patch of ConfigMap %s/%s: %w", namespace, name, err)
	}
	var got ConfigMap
	if err := c.do(ctx, http.MethodPatch, namespace, name, "", metadataOnly, body, &got); err != nil {
		return Metadata{}, fmt.Errorf("writing ConfigMap %s/%s: %w", namespace, name, err)
	}
	return got.Metadata, nil
}

func (c *Client) do(ctx context.Context, method, namespace, name, query, accept string, body []byte, into *ConfigMap) error {
	address := strings.TrimSuffix(c.URL, "/") +
		"/api/v1/namespaces/" + url.PathEscape(namespace) + "/configmaps/" + url.PathEscape(name) + query
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("asking the API server: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // it was read to its end, or is of no use
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxResponse))
	if err != nil {
		return fmt.Errorf("reading the API server's answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return refusal(res, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("decoding the API server's answer: %w", err)
	}
	if into.Metadata.ResourceVersion == "" {
		return errors.New("the answer is no object of Kubernetes: something else is at the API server's address")
	}
	return nil
}

// refusal reads the Status object that comes with everything but success.
func refusal(res *http.Response, answer []byte) *Error {
	var status struct {
		Message string `json:"message"`
	}
	e := &Error{Code: res.StatusCode, Message: http.StatusText(res.StatusCode)}
	if json.Unmarshal(answer, &status) == nil && status.Message != "" {
		e.Message = status.Message
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}
