package configmap

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/wechatbot/wechatbot-operator/server/session/memory"
)

// maxBlock bounds what a block may unpack to. All sessions together are less: JSON needs six bytes for one at worst.
const maxBlock = 8 * memoryBytes

// A compressor has more than a megabyte of tables: they are shared, and gone when nothing is written for a while.
// The fastest level makes blocks about a fifth larger than the default one, in a third of the time.
var compressors = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

// encode packs followers into a block: gzip around one line of JSON each, so that `base64 -d | gunzip` shows it.
// A block without followers is nil.
func encode(records []memory.Copy) ([]byte, error) {
	if len(records) == 0 {
		return nil, nil
	}
	w, _ := compressors.Get().(*gzip.Writer) // nothing else is in there
	defer compressors.Put(w)
	var block bytes.Buffer
	w.Reset(&block)
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	for i := range records {
		if err := lines.Encode(&records[i]); err != nil {
			return nil, fmt.Errorf("encoding a follower: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compressing followers: %w", err)
	}
	return block.Bytes(), nil
}

// decode appends a block's followers to records. Each of them has to belong into the part, and all of them to be less
// than limit bytes of JSON.
func decode(block []byte, part int, limit int64, records []memory.Copy) ([]memory.Copy, error) {
	r, err := gzip.NewReader(bytes.NewReader(block))
	if err != nil {
		return nil, fmt.Errorf("unpacking: %w", err)
	}
	limited := &io.LimitedReader{R: r, N: limit}
	lines := json.NewDecoder(limited)
	for {
		var record memory.Copy
		err := lines.Decode(&record)
		if errors.Is(err, io.EOF) && limited.N > 0 {
			return records, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading a follower: %w", err)
		}
		if partOf(record.Follower) != part {
			return nil, errors.New("a follower who does not belong there")
		}
		records = append(records, record)
	}
}
