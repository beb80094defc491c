package media

import (
	"bytes"
	"testing"
	"time"
)

// frames is an MP3 of so many frames with a header.
func frames(n int, header [4]byte, size int) []byte {
	frame := make([]byte, size)
	copy(frame, header[:])
	return bytes.Repeat(frame, n)
}

func TestPlayTime(t *testing.T) {
	tag := append([]byte("ID3\x04\x00\x00\x00\x00\x01\x00"), make([]byte, 128)...)
	mpeg1 := frames(1000, [4]byte{0xff, 0xfb, 0x90, 0xc0}, 417) // 128 kbit/s, 44.1 kHz: 26.12 ms
	mpeg2 := frames(1000, [4]byte{0xff, 0xf3, 0x44, 0xc0}, 96)  // 32 kbit/s, 24 kHz: 24 ms
	for name, c := range map[string]struct {
		mp3  []byte
		want time.Duration
	}{
		"nothing":           {nil, 0},
		"no MP3":            {[]byte("RIFF....WAVEfmt "), 0},
		"MPEG 1":            {mpeg1, 26122 * time.Millisecond},
		"MPEG 2":            {mpeg2, 24 * time.Second},
		"behind a tag":      {append(tag, mpeg2...), 24 * time.Second},
		"before a tag":      {append(bytes.Clone(mpeg2), "TAG some words"...), 24 * time.Second},
		"of two bitrates":   {append(bytes.Clone(mpeg1), mpeg2...), 50122 * time.Millisecond},
		"with damage":       {append(append(bytes.Clone(mpeg2), 0, 0, 0), mpeg2...), 48 * time.Second},
		"a tag and no more": {[]byte("ID3\x04\x00\x00\x7f\x7f\x7f\x7f...."), 0},
	} {
		if got := PlayTime(c.mp3); got.Round(time.Millisecond) != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func FuzzPlayTime(f *testing.F) {
	f.Add(frames(3, [4]byte{0xff, 0xfb, 0x90, 0xc0}, 417))
	f.Add([]byte("ID3\x04\x00\x00\x00\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := PlayTime(b); got < 0 || got > time.Duration(len(b)+1)*time.Second {
			t.Errorf("%d bytes play %v", len(b), got)
		}
	})
}
