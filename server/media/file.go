package media

import (
	"context"
	"errors"
	"io"
	"sync"
)

// File is a file in memory.
type File struct {
	Data []byte
	// Type is the type that the content shows; see Stream.
	Type string

	release func()
}

// Release gives the file's share of the budget back. It must be called when the data is no longer used, and may be called again.
func (f *File) Release() {
	f.Data = nil
	f.release()
}

// Fetch fetches a file into memory: at most twice its size while it comes, its size then, until it is released. If the files that are
// held take up the budget it waits, as long as ctx lives.
func (f *Fetcher) Fetch(ctx context.Context, r Request) (*File, error) {
	if r.MaxBytes <= 0 {
		r.MaxBytes = DefaultMaxBytes
	}
	r.MaxBytes = min(r.MaxBytes, f.size)
	share, err := f.acquire(ctx, r.MaxBytes)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, f.timeout, errTimeout)
	defer cancel()
	s, err := f.Open(bounded, r)
	if err != nil {
		share.giveBack(0)
		return nil, timed(ctx, err)
	}
	file, err := share.read(s.Body, s.Size, r.MaxBytes)
	_ = s.Body.Close()
	return file, timed(ctx, err)
}

// Hold reads a file that comes from elsewhere into memory, as Fetch does: at most limit bytes of it. size is its length, negative if it is
// not known.
func (f *Fetcher) Hold(ctx context.Context, r io.Reader, size, limit int64) (*File, error) {
	limit = min(limit, f.size)
	if size > limit {
		return nil, &Error{Kind: TooLarge}
	}
	share, err := f.acquire(ctx, limit)
	if err != nil {
		return nil, err
	}
	return share.read(r, size, limit)
}

// timed tells a Fetch's own end from its caller's.
func timed(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == Canceled && ctx.Err() == nil {
		return &Error{Kind: TimedOut, cause: e.cause}
	}
	return err
}

// share is a part of the budget.
type share struct {
	fetcher *Fetcher
	bytes   int64
}

func (f *Fetcher) acquire(ctx context.Context, bytes int64) (*share, error) {
	if err := f.budget.Acquire(ctx, bytes); err != nil {
		return nil, &Error{Kind: Canceled, cause: context.Cause(ctx)}
	}
	return &share{f, bytes}, nil
}

// giveBack makes the share smaller.
func (s *share) giveBack(left int64) {
	if s.bytes > left {
		s.fetcher.budget.Release(s.bytes - left)
		s.bytes = left
	}
}

// block is the size of the pieces in which a file of unknown size is read.
const block = 64 << 10

// read reads a file, and keeps of the share what it needs.
func (s *share) read(r io.Reader, size, limit int64) (_ *File, err error) {
	var data []byte
	defer func() {
		if err != nil {
			s.giveBack(0)
		}
	}()
	if size >= 0 {
		s.giveBack(size)
		data, err = readKnown(r, size)
	} else {
		data, err = readUnknown(r, limit)
	}
	if err != nil {
		return nil, err
	}
	s.giveBack(int64(len(data)))
	return &File{Data: data, Type: TypeOf(data[:min(len(data), sniffed)]), release: sync.OnceFunc(func() { s.giveBack(0) })}, nil
}

// readKnown reads a file of which the size was said, and no more and no less.
func readKnown(r io.Reader, size int64) ([]byte, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(r, data)
	if err == nil {
		var more [1]byte
		switch n, after := io.ReadFull(r, more[:]); {
		case n > 0:
			err = &Error{Kind: TooLarge}
		case !errors.Is(after, io.EOF):
			err = after
		}
	}
	return data, broken(err)
}

// readUnknown reads a file in pieces, so that at its end no more than twice its size is used, and one piece.
func readUnknown(r io.Reader, limit int64) ([]byte, error) {
	var pieces [][]byte
	total := int64(0)
	for {
		piece := make([]byte, block)
		n, err := fill(r, piece)
		if total += int64(n); total > limit {
			return nil, &Error{Kind: TooLarge}
		}
		pieces = append(pieces, piece[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, broken(err)
		}
	}
	data := make([]byte, 0, total)
	for _, p := range pieces {
		data = append(data, p...)
	}
	return data, nil
}

// fill is io.ReadFull that gives a reader's own errors: there is a difference between a file that ends and one that breaks off.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var read int
		read, err = r.Read(p[n:])
		n += read
	}
	return n, err //nolint:wrapcheck // the caller does
}

// broken makes an error of ours of one that a body's reading gave.
func broken(err error) error {
	if err == nil || KindOf(err) != "" {
		return err
	}
	return &Error{Kind: Unreachable, cause: err}
}
