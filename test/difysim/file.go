package difysim

import (
	"cmp"
	"path"
	"strings"
	"time"
)

// MadeFile is a file that the app makes for an answer.
type MadeFile struct {
	Type     string `json:"type"` // image, document, audio, video or custom
	Name     string `json:"name,omitempty"`
	MIMEType string `json:"mimeType,omitempty"`
	Size     int    `json:"size,omitempty"`
	// URL is where it is; relative where Dify was not told its own address. Empty: such a relative one.
	URL string `json:"url,omitempty"`
}

// maxFiles bounds Behaviour.Files.
const maxFiles = 20

// madeFile is one with the id that it has in its message.
type madeFile struct {
	MadeFile
	id string
}

func newFiles(made []MadeFile) (files []madeFile) {
	for _, f := range made {
		id := newID()
		f.Name = cmp.Or(f.Name, id+map[string]string{"image": ".png", "audio": ".mp3", "video": ".mp4"}[f.Type])
		f.URL = cmp.Or(f.URL, "/files/tools/"+id+path.Ext(f.Name)+"?timestamp=1767225600&nonce=6f2d&sign=c2lnbg%3D%3D")
		files = append(files, madeFile{f, id})
	}
	return files
}

// messageFile is the event with which a chat app or an agent gives a file. It has no name.
func (r *run) messageFile(f *madeFile) object {
	return append(r.common("message_file", true), member{"id", f.id}, member{"type", f.Type},
		member{"belongs_to", "assistant"}, member{"url", f.URL})
}

// filesOfNodes is how the events of a workflow and the end of its answer give files.
func filesOfNodes(files []madeFile) list {
	l := list{}
	for i := range files {
		f := &files[i]
		l = append(l, object{
			{"dify_model_identity", "__dify__file__"}, {"id", nil}, {"type", f.Type}, {"transfer_method", "tool_file"},
			{"remote_url", nil}, {"related_id", f.id}, {"filename", f.Name}, {"extension", path.Ext(f.Name)},
			{"mime_type", f.MIMEType}, {"size", f.Size}, {"url", f.URL},
		})
	}
	return l
}

// filesOfMessage is how the list of messages gives a message's files.
func filesOfMessage(files []madeFile) list {
	l := list{}
	for i := range files {
		f := &files[i]
		l = append(l, object{
			{"id", f.id}, {"filename", f.Name}, {"type", f.Type}, {"url", f.URL}, {"mime_type", f.MIMEType},
			{"size", f.Size}, {"transfer_method", "tool_file"}, {"belongs_to", "assistant"}, {"upload_file_id", nil},
		})
	}
	return l
}

// planFiles has the files that an app without a workflow gives before the answer's end.
func (r *run) planFiles(p *plan) (steps []step) {
	for i := range r.files {
		f := &r.files[i]
		steps = append(steps, step{at: p.total, event: func() object { return r.messageFile(f) }})
	}
	return steps
}

// bulk is what nodes that say much say, over and over.
var bulk = []byte(strings.Repeat("检索到的内容 retrieved content, ", 1<<10))

// planBulk has a node_finished of about Behaviour.NodeBytes, as a node that has read a knowledge base sends. Its bytes are
// shared by all runs.
func (r *run) planBulk(at time.Duration) (steps []step) {
	left := r.behaviour.NodeBytes
	if left == 0 {
		return nil
	}
	head := r.style.append([]byte("data: "), r.nodeFinished(llmNode, nodeResult{outputs: object{{"text", ""}}}))
	before, after, _ := strings.Cut(string(head), `"text"`+r.style.colon+`"`)
	parts := [][]byte{[]byte(before + `"text"` + r.style.colon + `"`)}
	for ; left > 0; left -= len(bulk) {
		parts = append(parts, bulk)
	}
	parts = append(parts, []byte(after+"\n\n"))
	for _, part := range parts {
		steps = append(steps, step{at: at, raw: part})
	}
	return steps
}
