package media

import (
	"bytes"
	"time"
)

// mp3Rates are kilobits a second by the index in a frame's header: of MPEG 1, and of MPEG 2 and 2.5.
var mp3Rates = [2][16]int{
	{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
}

// mp3Samples are samples a second, by the version's and the rate's index; 0 is none.
var mp3Samples = [4][4]int{{11025, 12000, 8000}, {}, {22050, 24000, 16000}, {44100, 48000, 32000}}

// PlayTime is how long an MP3 plays: the sum of its frames, as their bitrates may differ; 0 if there are none.
func PlayTime(mp3 []byte) time.Duration {
	const id3Header = 10
	if len(mp3) > id3Header && bytes.HasPrefix(mp3, []byte("ID3")) {
		size := int(mp3[6]&0x7f)<<21 | int(mp3[7]&0x7f)<<14 | int(mp3[8]&0x7f)<<7 | int(mp3[9]&0x7f)
		mp3 = mp3[min(len(mp3), id3Header+size):]
	}
	var total time.Duration
	for len(mp3) > 4 {
		size, lasts := mp3Frame(mp3)
		if size == 0 { // a tag at the end, or damage
			mp3 = mp3[1:]
			continue
		}
		total += lasts
		mp3 = mp3[min(len(mp3), size):]
	}
	return total
}

// mp3Frame is how long the frame of layer III that begins here is, in bytes and in time; 0 if none does.
func mp3Frame(b []byte) (size int, lasts time.Duration) {
	if !isMP3(b) {
		return 0, 0
	}
	version, older := b[1]>>3&3, 0
	samples, perByte := 1152, 144
	if version != 3 { // MPEG 2 and 2.5 have half the samples
		older, samples, perByte = 1, 576, 72
	}
	rate, perSecond := mp3Rates[older][b[2]>>4]*1000, mp3Samples[version][b[2]>>2&3]
	if rate == 0 || perSecond == 0 {
		return 0, 0
	}
	size = perByte*rate/perSecond + int(b[2]>>1&1)
	return size, time.Duration(samples) * time.Second / time.Duration(perSecond)
}
