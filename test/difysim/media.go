package difysim

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Features are what an app takes and gives besides words. The zero value: nothing.
type Features struct {
	Pictures   int      // that a question may have
	RemoteOnly bool     // pictures by address only
	Heard      string   // what every recording says; empty: speech-to-text is off
	Speech     []byte   // what every text sounds like; nil: text-to-speech is off
	SpeechType string   // its Content-Type; empty = audio/mpeg
	Suggested  []string // to ask after an answer; none: the feature is off
	// SuggestTime is how long the model takes to suggest them.
	SuggestTime time.Duration

	// UploadFault, HearFault, SpeakFault and SuggestFault are files of testdata/dify/errors that such calls are answered with.
	UploadFault, HearFault, SpeakFault, SuggestFault string
}

// SetFeatures replaces the app's features, as its owner does in Dify. It panics if a fault is unknown.
func (s *Server) SetFeatures(f Features) {
	for _, name := range []string{f.UploadFault, f.HearFault, f.SpeakFault, f.SuggestFault} {
		if _, err := errorBody(name); name != "" && err != nil {
			panic("difysim: " + err.Error())
		}
	}
	s.features.Store(&f)
}

// fileUpload is the app's settings for files in the form of its release: before 0.10 there were pictures only.
func (f *Features) fileUpload(old bool) object {
	methods := list{"remote_url", "local_file"}
	if f.RemoteOnly {
		methods = list{"remote_url"}
	}
	image := object{{"enabled", true}, {"number_limits", f.Pictures}, {"detail", "high"}, {"transfer_methods", methods}}
	if old {
		return object{{"image", image}}
	}
	return object{
		{"enabled", true}, {"allowed_file_types", list{"image"}}, {"allowed_file_extensions", list{".JPG", ".PNG"}},
		{"allowed_file_upload_methods", methods}, {"number_limits", f.Pictures}, {"image", object{{"enabled", true}, {"detail", "high"}}},
	}
}

// Upload is a file that came with a call.
type Upload struct {
	ID, User, Name, Type string
	Size                 int64
}

// maxUploads bounds what is remembered of each kind.
const maxUploads = 1000

func (s *Server) keepUpload(file object, user string) {
	id, _ := file[0].value.(string)
	name, _ := file[1].value.(string)
	size, _ := file[2].value.(int64)
	contentType, _ := file[4].value.(string)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads = keep(s.uploads, Upload{id, user, name, contentType, size})
}

func keep[T any](all []T, one T) []T {
	if len(all) == maxUploads {
		all = all[1:]
	}
	return append(all, one)
}

// Uploads are the files that were uploaded, oldest first.
func (s *Server) Uploads() []Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.uploads)
}

// Recordings are those that were to be turned into text, oldest first.
func (s *Server) Recordings() []Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heard)
}

// Spoken are the texts that were read out, oldest first.
func (s *Server) Spoken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.spoken)
}

// checkFiles judges a question's files as Dify does. An app that takes none ignores them.
func (s *Server) checkFiles(q *Request) *response {
	f := s.features.Load()
	if f.Pictures == 0 {
		return nil
	}
	if len(q.Files) > f.Pictures {
		return problem(http.StatusBadRequest, "invalid_param", fmt.Sprintf("Number of image files exceeds the maximum limit %d", f.Pictures))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, file := range q.Files {
		at := slices.IndexFunc(s.uploads, func(u Upload) bool { return u.ID == file.UploadFileID && u.User == q.User })
		switch {
		case file.Type != "image", file.TransferMethod == "local_file" && f.RemoteOnly:
			return mustErrorBody("invalid_param-file-validation.400")
		case file.TransferMethod == "local_file" && at < 0:
			return mustErrorBody("invalid_param-file-id.400")
		case file.TransferMethod == "local_file" && !strings.HasPrefix(s.uploads[at].Type, "image/"):
			return mustErrorBody("invalid_param-file-validation.400")
		}
	}
	return nil
}

// maxRecording is the size limit of a recording, in bytes.
const maxRecording = 30 << 20

// recordingTypes are what a recording's part may say to be: the releases differ, and refuse audio/mpeg.
var recordingTypes = map[bool][]string{
	true:  {"audio/mp3", "audio/mp4", "audio/mpeg", "audio/mpga", "audio/m4a", "audio/wav", "audio/webm", "audio/amr"},
	false: {"audio/mp3", "audio/m4a", "audio/wav", "audio/amr", "audio/mpga"},
}

// audioToText serves POST /audio-to-text. Of the bytes nothing is looked at but how many they are.
func (s *Server) audioToText(w http.ResponseWriter, r *http.Request) {
	f := s.features.Load()
	reader, err := r.MultipartReader()
	if err != nil {
		if f.Heard == "" {
			write(w, mustErrorBody("invalid_param-stt-disabled.400"))
			return
		}
		write(w, mustErrorBody("bad_request_key_error-audio.400"))
		return
	}
	recording := Upload{}
	for {
		part, err := reader.NextPart()
		if err != nil {
			break
		}
		switch part.FormName() {
		case "user":
			text, _ := io.ReadAll(io.LimitReader(part, 4*maxUser))
			recording.User = string(text)
		case "file":
			recording.Name, recording.Type = part.FileName(), part.Header.Get("Content-Type")
			recording.Size, _ = io.Copy(io.Discard, part)
		}
	}
	switch {
	case f.HearFault != "":
		write(w, mustErrorBody(f.HearFault))
	case f.Heard == "":
		write(w, mustErrorBody("invalid_param-stt-disabled.400"))
	case recording.Name == "":
		write(w, mustErrorBody("no_audio_uploaded.400"))
	case !slices.Contains(recordingTypes[s.options.Release == V0_6_5], recording.Type):
		write(w, mustErrorBody("unsupported_audio_type.415"))
	case recording.Size > maxRecording:
		write(w, mustErrorBody("audio_too_large.413"))
	default:
		s.mu.Lock()
		s.heard = keep(s.heard, recording)
		s.mu.Unlock()
		reply(w, http.StatusOK, object{{"text", f.Heard}})
	}
}

// textToAudio serves POST /text-to-audio.
func (s *Server) textToAudio(w http.ResponseWriter, r *http.Request) {
	f := s.features.Load()
	_, body, no := s.readBody(w, r)
	text, _ := body["text"].(string)
	switch {
	case f.Speech == nil:
		no = mustErrorBody("invalid_param-tts-disabled.400")
	case f.SpeakFault != "":
		no = mustErrorBody(f.SpeakFault)
	case no == nil && text == "":
		no = problem(http.StatusBadRequest, "invalid_param", "Text is required")
	}
	if no != nil {
		write(w, no)
		return
	}
	s.mu.Lock()
	s.spoken = keep(s.spoken, text)
	s.mu.Unlock()
	contentType := "audio/mpeg"
	if f.SpeechType != "" {
		contentType = f.SpeechType
	}
	write(w, &response{status: http.StatusOK, contentType: contentType, body: f.Speech})
}

// SampleMP3 is a recording of silence that plays for about so long: 64 kbit/s, 44.1 kHz.
func SampleMP3(d time.Duration) []byte {
	const size, perSecond = 208, 44100.0 / 1152
	frame := make([]byte, size)
	copy(frame, []byte{0xff, 0xfb, 0x50, 0xc0})
	return bytes.Repeat(frame, max(1, int(d.Seconds()*perSecond)))
}
