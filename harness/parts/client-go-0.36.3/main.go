// Command discover prints what a Go client sees of a cluster's APIs: all that its discovery names,
// and all that its RESTMapper maps a kind to, looked up again and again, as JSON.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/disk"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// view is what one look saw. Looks that saw the same are counted.
type view struct {
	Times int `json:"times"`
	// group/version/resource or group/version/resource/subresource, sorted.
	Seen []string `json:"seen"`
	// The resources whose kind leads back to a resource of that group and version.
	Mapped []string `json:"mapped"`
	Error  string   `json:"error"`
}

func main() {
	log.SetFlags(0)
	kubeconfig := flag.String("kubeconfig", "", "the cluster to look at")
	times := flag.Int("times", 1, "how often to look, each time after forgetting what was seen")
	form := flag.String("form", "memory", "memory: aggregated discovery in a memory cache; "+
		"plain: a document for each group-version; disk: as kubectl, with ETags kept in files")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	config.QPS = -1
	client, err := cachedClient(config, *form)
	if err != nil {
		log.Fatal(err)
	}
	views := []view{}
	for range *times {
		client.Invalidate()
		seen := look(client)
		same := func(other view) bool {
			other.Times = seen.Times
			return reflect.DeepEqual(other, seen)
		}
		if at := slices.IndexFunc(views, same); at >= 0 {
			views[at].Times++
		} else {
			views = append(views, seen)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(views); err != nil {
		log.Fatal(err)
	}
}

func cachedClient(config *rest.Config, form string) (discovery.CachedDiscoveryInterface, error) {
	if form == "disk" {
		folder, err := os.MkdirTemp("", "discover-")
		if err != nil {
			return nil, err
		}
		return disk.NewCachedDiscoveryClientForConfig(config, folder+"/discovery", folder+"/http", time.Hour)
	}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	client.UseLegacyDiscovery = form == "plain"
	return memory.NewMemCacheClient(client), nil
}

func look(client discovery.CachedDiscoveryInterface) view {
	seen := view{Times: 1}
	_, lists, err := client.ServerGroupsAndResources()
	if err != nil {
		seen.Error = err.Error()
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(client)
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			seen.Error = err.Error()
			continue
		}
		for _, resource := range list.APIResources {
			name := list.GroupVersion + "/" + resource.Name
			seen.Seen = append(seen.Seen, name)
			if !strings.Contains(resource.Name, "/") && maps(mapper, gv.WithResource(resource.Name)) {
				seen.Mapped = append(seen.Mapped, name)
			}
		}
	}
	slices.Sort(seen.Seen)
	slices.Sort(seen.Mapped)
	return seen
}

func maps(mapper *restmapper.DeferredDiscoveryRESTMapper, resource schema.GroupVersionResource) bool {
	kind, err := mapper.KindFor(resource)
	if err != nil {
		return false
	}
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	return err == nil && mapping.Resource.GroupVersion() == resource.GroupVersion()
}
