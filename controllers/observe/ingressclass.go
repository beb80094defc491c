package observe

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// Class says whether the IngressClass of a bot is there.
type Class int

// What can be known of an IngressClass.
const (
	// ClassUnknown: there is no Ingress, or the operator may not read IngressClasses.
	ClassUnknown Class = iota
	// ClassFound: it is there.
	ClassFound
	// ClassMissing: the named one is not there.
	ClassMissing
	// NoDefaultClass: none is named, and the cluster has no default.
	NoDefaultClass
)

// Classes are what is known of the cluster's IngressClasses.
type Classes struct {
	// Name and Field are the class that the bot or the operator's flag names, and where.
	Name, Field string
	// Default is the cluster's default class; empty if there is none, or if it is not known.
	Default string
	// Controller is the controller of the bot's class, if it is known.
	Controller string
	// Others are the names of all classes, sorted.
	Others []string
}

// class looks for the bot's IngressClass.
func (o *Observer) class(ctx context.Context, bot *v1alpha1.WechatBot, s *State) error {
	if !desired.HasIngress(bot) {
		return nil
	}
	s.Classes.Name, s.Classes.Field = desired.NamedIngressClass(bot, o.Operator)
	if !o.ClusterScoped {
		if s.Classes.Name == "" && !desired.HasClassAnnotation(bot) && o.DefaultClass != nil {
			s.Classes.Default, s.Class = o.DefaultClass(ctx, bot.Namespace)
		}
		return nil
	}
	var classes networkingv1.IngressClassList
	if err := o.Cache.List(ctx, &classes, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return fmt.Errorf("listing IngressClasses: %w", err)
	}
	s.Class = s.Classes.find(classes.Items, desired.HasClassAnnotation(bot))
	return nil
}

// find looks for the named class, or the default, among the cluster's. Of several defaults the newest counts, and of
// those the first by name, as for the API server.
func (c *Classes) find(classes []networkingv1.IngressClass, annotated bool) Class {
	all := make([]*networkingv1.IngressClass, len(classes)) // the items are the cache's own
	for i := range classes {
		all[i] = &classes[i]
		c.Others = append(c.Others, classes[i].Name)
	}
	slices.Sort(c.Others)
	slices.SortFunc(all, func(a, b *networkingv1.IngressClass) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for _, class := range all {
		if c.Default == "" && class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true" {
			c.Default = class.Name
		}
	}
	name := cmp.Or(c.Name, c.Default)
	for _, class := range all {
		if class.Name == name {
			c.Controller = class.Spec.Controller
			return ClassFound
		}
	}
	switch {
	case c.Name != "":
		return ClassMissing
	case annotated:
		return ClassUnknown
	}
	return NoDefaultClass
}
