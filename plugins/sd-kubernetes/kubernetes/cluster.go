package kubernetes

import (
	"log/slog"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// cluster is what is known of a cluster, and makes targets of it. Stores that the config does not need are nil and hold
// nothing.
type cluster struct {
	config Config
	log    *slog.Logger

	pods, services, nodes, namespaces stores
	replicaSets, jobs                 stores // their metadata alone
}

// stores are where the objects of a kind are, one for each namespace that is read.
type stores []cache.Store

// lookUp returns an object, or the zero T when it is not known. Objects without a namespace have an empty one.
func lookUp[T any](in stores, namespace, name string) (found T) {
	if name == "" {
		return found
	}
	key := name
	if namespace != "" {
		key = namespace + "/" + name
	}
	for _, s := range in {
		if o, ok, err := s.GetByKey(key); ok && err == nil {
			if found, ok = o.(T); ok {
				return found
			}
		}
	}
	return found
}

// ownerOf returns the name of the controller of a kind that an object has, or "".
func (c *cluster) ownerOf(in stores, namespace, name, kind string) string {
	o := lookUp[*metav1.PartialObjectMetadata](in, namespace, name)
	if o == nil {
		return ""
	}
	if owner := metav1.GetControllerOf(o); owner != nil && owner.Kind == kind {
		return owner.Name
	}
	return ""
}
