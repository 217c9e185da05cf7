package kubernetes_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// api is a server that answers LIST and WATCH as a Kubernetes API server does, in JSON.
type api struct {
	*httptest.Server

	mu       sync.Mutex
	version  int
	objects  []*unstructured.Unstructured
	watchers map[chan event]string // the path that each watches
	asked    []string
	listed   int // how many were no watches
	changes  []change
}

// change is what has happened to an object of a resource.
type change struct {
	version  int
	resource string
	event    event
}

type event struct {
	Type   string                     `json:"type"`
	Object *unstructured.Unstructured `json:"object"`
}

// newAPI serves the objects of a file.
func newAPI(t *testing.T, path string) *api {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a := &api{version: 1, watchers: map[chan event]string{}}
	d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := d.Decode(&o.Object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		o.SetResourceVersion("1")
		a.objects = append(a.objects, o)
	}
	a.Server = httptest.NewServer(a)
	t.Cleanup(func() {
		a.CloseClientConnections()
		a.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return a
}

// resources are the paths below the API, by kind.
var resources = map[string]string{
	"Node": "/api/v1/nodes", "Namespace": "/api/v1/namespaces", "Pod": "/api/v1/pods", "Service": "/api/v1/services",
	"Endpoints": "/api/v1/endpoints", "EndpointSlice": "/apis/discovery.k8s.io/v1/endpointslices",
	"Ingress": "/apis/networking.k8s.io/v1/ingresses", "ReplicaSet": "/apis/apps/v1/replicasets", "Job": "/apis/batch/v1/jobs",
}

// path returns where an object is listed, across namespaces.
func path(o *unstructured.Unstructured) string { return resources[o.GetKind()] }

// split takes the namespace out of a path.
func split(p string) (resource, namespace string) {
	before, after, ok := strings.Cut(p, "/namespaces/")
	if !ok {
		return p, ""
	}
	namespace, kind, ok := strings.Cut(after, "/")
	if !ok {
		return p, ""
	}
	return before + "/" + kind, namespace
}

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource, namespace := split(r.URL.Path)
	q := r.URL.Query()
	w.Header().Set("Content-Type", "application/json")
	a.mu.Lock()
	a.asked = append(a.asked, r.URL.Path+"?label="+q.Get("labelSelector")+"&field="+q.Get("fieldSelector"))
	if q.Get("watch") == "" || q.Get("sendInitialEvents") != "" {
		a.listed++
	}
	a.mu.Unlock()
	if q.Get("sendInitialEvents") != "" { // a newer way to list, which older servers don't know
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422}`)
		return
	}
	if q.Get("watch") != "" {
		a.watch(w, r, resource, namespace)
		return
	}
	selector, err := labels.Parse(q.Get("labelSelector"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	list := map[string]any{"kind": "List", "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": fmt.Sprint(a.version)}}
	items := []any{}
	for _, o := range a.objects {
		if path(o) == resource && (namespace == "" || o.GetNamespace() == namespace) && selector.Matches(labels.Set(o.GetLabels())) {
			list["kind"], list["apiVersion"] = o.GetKind()+"List", o.GetAPIVersion()
			items = append(items, o.Object)
		}
	}
	list["items"] = items
	if strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadata") {
		list["kind"], list["apiVersion"] = "PartialObjectMetadataList", "meta.k8s.io/v1"
	}
	_ = json.NewEncoder(w).Encode(list) // the client sees it if it fails
}

func (a *api) watch(w http.ResponseWriter, r *http.Request, resource, namespace string) {
	events := make(chan event, 100)
	since, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion")) // none is 0
	a.mu.Lock()
	for _, c := range a.changes {
		if c.version > since && c.resource == resource {
			events <- c.event
		}
	}
	a.watchers[events] = resource
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.watchers, events)
		a.mu.Unlock()
	}()
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush() // likewise
	for {
		select {
		case e := <-events:
			if namespace != "" && e.Object.GetNamespace() != namespace {
				continue
			}
			if json.NewEncoder(w).Encode(e) != nil || flush.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// change applies edit to the object of a kind with a name, or deletes it when edit is nil, and tells the watchers.
func (a *api) change(kind, name string, edit func(o map[string]any)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, o := range a.objects {
		if o.GetKind() != kind || o.GetName() != name {
			continue
		}
		a.version++
		e := event{Type: "MODIFIED", Object: o.DeepCopy()}
		if edit == nil {
			e.Type = "DELETED"
			a.objects = append(a.objects[:i:i], a.objects[i+1:]...)
		} else {
			edit(e.Object.Object)
			a.objects[i] = e.Object
		}
		e.Object.SetResourceVersion(fmt.Sprint(a.version))
		a.changes = append(a.changes, change{a.version, path(o), e})
		for w, resource := range a.watchers {
			if resource == path(o) {
				w <- e
			}
		}
		return
	}
}
