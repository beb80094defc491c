package configmap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/wechatbot/wechatbot-operator/server/session/configmap/kubeapi"
)

// api is an API server with ConfigMaps of one namespace, as far as the store uses one, in this process. What it does
// is compared with a real one by running the same suite on both.
type api struct {
	mu      sync.Mutex
	version int
	objects map[string]*kubeapi.ConfigMap
	patches int // that changed something
	bytes   int // of all patches' bodies

	// fault, if there is one, answers in place of the API server, which it can have serve the request.
	fault fault
}

type fault func(r *http.Request, serve func() *http.Response) (*http.Response, error)

const namespace = "bots"

// newAPI is an API server with the empty ConfigMaps of the store s.
func newAPI() *api {
	a := &api{objects: map[string]*kubeapi.ConfigMap{}}
	for _, n := range Names("s") {
		a.create(n)
	}
	return a
}

func (a *api) client() *kubeapi.Client {
	return &kubeapi.Client{URL: "https://api.test", HTTP: &http.Client{Transport: a}}
}

// create creates an empty object, or makes it anew.
func (a *api) create(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	a.objects[name] = &kubeapi.ConfigMap{Metadata: kubeapi.Metadata{ResourceVersion: strconv.Itoa(a.version)}}
}

func (a *api) remove(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.objects, name)
}

// change changes an object as somebody else would.
func (a *api) change(name string, change func(*kubeapi.ConfigMap)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a.objects[name])
	a.version++
	a.objects[name].Metadata.ResourceVersion = strconv.Itoa(a.version)
}

// copies returns all objects as they are.
func (a *api) copies() map[string]kubeapi.ConfigMap {
	a.mu.Lock()
	defer a.mu.Unlock()
	got := map[string]kubeapi.ConfigMap{}
	for name, o := range a.objects {
		c := *o
		c.BinaryData, c.Metadata.Annotations = maps.Clone(o.BinaryData), maps.Clone(o.Metadata.Annotations)
		got[name] = c
	}
	return got
}

// breaks makes every request end as fault says; nil heals.
func (a *api) breaks(f fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = f
}

// writes returns how many patches have changed something, and how many bytes they had.
func (a *api) writes() (patches, size int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.patches, a.bytes
}

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	a.mu.Lock()
	f := a.fault
	a.mu.Unlock()
	if f == nil {
		return a.serve(r), nil
	}
	return f(r, func() *http.Response { return a.serve(r) })
}

func (a *api) serve(r *http.Request) *http.Response {
	a.mu.Lock()
	defer a.mu.Unlock()
	name, ok := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/"+namespace+"/configmaps/")
	o := a.objects[name]
	if !ok || o == nil {
		return refuse(http.StatusNotFound, fmt.Sprintf("configmaps %q not found", name))
	}
	if r.Method == http.MethodPatch {
		if refused := a.patch(r, name, o); refused != nil {
			return refused
		}
		o = a.objects[name]
	}
	answer := *o
	if strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadata") {
		answer.BinaryData, answer.Data = nil, nil
	}
	return respond(http.StatusOK, answer)
}

func (a *api) patch(r *http.Request, name string, o *kubeapi.ConfigMap) *http.Response {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	var change kubeapi.ConfigMap
	if err := json.Unmarshal(body, &change); err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	if v := change.Metadata.ResourceVersion; v != "" && v != o.Metadata.ResourceVersion {
		return refuse(http.StatusConflict, "the object has been modified")
	}
	changed := *o
	changed.BinaryData, changed.Metadata.Annotations = map[string][]byte{}, map[string]string{}
	maps.Copy(changed.BinaryData, o.BinaryData)
	maps.Copy(changed.Metadata.Annotations, o.Metadata.Annotations)
	maps.Copy(changed.Metadata.Annotations, change.Metadata.Annotations)
	size := 0
	for key, value := range change.BinaryData {
		if value == nil {
			delete(changed.BinaryData, key)
			continue
		}
		changed.BinaryData[key] = value
	}
	for _, value := range changed.BinaryData {
		size += len(value)
	}
	if size > 1<<20 {
		return refuse(http.StatusUnprocessableEntity, "Too long: may not be more than 1048576 bytes")
	}
	a.version++
	a.patches++
	a.bytes += len(body)
	changed.Metadata.ResourceVersion = strconv.Itoa(a.version)
	a.objects[name] = &changed
	return nil
}

func respond(code int, body any) *http.Response {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // these types always encode
	}
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(text))}
}

func refuse(code int, message string) *http.Response {
	return respond(code, map[string]string{"kind": "Status", "message": message})
}

// unreachable is a fault: nobody is there.
func unreachable(*http.Request, func() *http.Response) (*http.Response, error) {
	return nil, errors.New("connection refused")
}

// silent is a fault: nobody answers.
func silent(r *http.Request, _ func() *http.Response) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// deaf is a fault: what is asked for is done, but no answer comes.
func deaf(r *http.Request, serve func() *http.Response) (*http.Response, error) {
	_ = serve().Body.Close() // in memory
	<-r.Context().Done()
	return nil, r.Context().Err()
}

var _ http.RoundTripper = (*api)(nil)
