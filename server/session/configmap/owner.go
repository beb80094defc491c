package configmap

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wechatbot/wechatbot-operator/server/session/configmap/kubeapi"
)

// ownerAnnotation says whose a ConfigMap is.
const ownerAnnotation = "wechatbot.dev/sessions-owner"

// format is how sessions are stored: places, blocks and their content. A server refuses what it does not know, so a
// change that older servers would misread needs a new number. Sessions of format 1, of the first release, are not read:
// they go when a server takes them over.
const format = 2

// owner is the process that writes a shard. Every process that starts takes all shards over with a generation of its
// own, larger than all before; one that finds a larger one than its own has been replaced.
type owner struct {
	Format     int    `json:"format"`
	Shard      int    `json:"shard"`
	Generation int64  `json:"generation"`
	Identity   string `json:"identity"` // unique to the process
	// Address is where other processes reach this one's webhook; empty if nobody has said it.
	Address string `json:"address,omitempty"`
	// Released: it has written all it had, and ends. Only the first shard says so.
	Released bool `json:"released,omitempty"`
}

func (o owner) annotations() (map[string]string, error) {
	value, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encoding the owner: %w", err)
	}
	return map[string]string{ownerAnnotation: string(value)}, nil
}

// ownerOf reads who owns a shard's ConfigMap; ok is false if nobody has ever.
func ownerOf(m kubeapi.Metadata, shard int) (o owner, ok bool, err error) {
	value, ok := m.Annotations[ownerAnnotation]
	if !ok {
		return owner{}, false, nil
	}
	if err := json.Unmarshal([]byte(value), &o); err != nil {
		return owner{}, false, fmt.Errorf("its annotation %s cannot be read: %w", ownerAnnotation, err)
	}
	switch {
	case o.Format < 1 || o.Format > format:
		return owner{}, false, fmt.Errorf("it is stored in format %d, this server knows formats up to %d", o.Format, format)
	case o.Shard != shard:
		return owner{}, false, fmt.Errorf("it is a copy of number %d", o.Shard)
	case o.Generation <= 0 || o.Identity == "":
		return owner{}, false, errors.New("its annotation " + ownerAnnotation + " names no owner")
	}
	return o, true, nil
}
