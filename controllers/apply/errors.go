package apply

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// NotOursError is an object that has the name of a child and is not the bot's.
type NotOursError struct {
	// Kind and Name say which object.
	Kind, Name string
	// Controller is the object that controls it (kind and name); empty for none.
	Controller string
}

func (e *NotOursError) Error() string {
	return "there is a " + e.Kind + " " + e.Name + " that this bot did not make"
}

// TerminatingError is an object with the name of a child that is being deleted: another can be made when it is gone.
type TerminatingError struct {
	// Kind and Name say which object.
	Kind, Name string
	// Finalizers hold it up.
	Finalizers []string
}

func (e *TerminatingError) Error() string {
	return "the " + e.Kind + " " + e.Name + " is being deleted"
}

// OverriddenError is a child of which somebody else keeps changing what the operator writes.
type OverriddenError struct {
	// Kind and Name say which object.
	Kind, Name string
	// Fields are what is changed, as paths of the object.
	Fields []string
	// Managers are who changes it, by managedFields; empty if it is changed while it is written, by admission.
	Managers []string
}

func (e *OverriddenError) Error() string {
	return "somebody changes " + strings.Join(e.Fields, ", ") + " of the " + e.Kind + " " + e.Name
}

// CannotGrowError is a volume that its StorageClass does not let grow.
type CannotGrowError struct {
	// Claim and Class are the PersistentVolumeClaim and its StorageClass; Class is empty for none.
	Claim, Class string
	// Has is what the volume was asked to hold.
	Has resource.Quantity
}

func (e *CannotGrowError) Error() string { return "the volume of " + e.Claim + " cannot grow" }

// FailedError is a child that could not be written.
type FailedError struct {
	// Kind and Name say which object.
	Kind, Name string
	// Err is the API server's.
	Err error
}

func (e *FailedError) Error() string {
	return "writing the " + e.Kind + " " + e.Name + ": " + e.Err.Error()
}

// Unwrap gives the API server's error.
func (e *FailedError) Unwrap() error { return e.Err }

// takeable tells whether an object with the name of a child can be the bot's: it is its controller, or it can become it,
// as nobody is and the object says that it belongs to the bot. So are objects that were restored from a backup, and
// those that a bot left behind when it was deleted without them.
func takeable(live client.Object, bot *v1alpha1.WechatBot, kind string) error {
	if !live.GetDeletionTimestamp().IsZero() {
		return &TerminatingError{kind, live.GetName(), slices.Clone(live.GetFinalizers())}
	}
	if metav1.IsControlledBy(live, bot) {
		return nil
	}
	controller := metav1.GetControllerOf(live)
	if controller == nil {
		labels := live.GetLabels()
		if labels[naming.LabelManagedBy] == naming.ManagedBy && labels[naming.LabelInstance] == bot.Name {
			return nil
		}
		return &NotOursError{Kind: kind, Name: live.GetName()}
	}
	if controller.Kind == "WechatBot" && controller.Name == bot.Name {
		// The bot's predecessor of that name is gone: the garbage collector removes what it made.
		return &TerminatingError{kind, live.GetName(), slices.Clone(live.GetFinalizers())}
	}
	return &NotOursError{kind, live.GetName(), controller.Kind + " " + controller.Name}
}
