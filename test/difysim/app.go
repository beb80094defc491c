package difysim

import (
	"cmp"
	"io"
	"mime/multipart"
	"net/http"
	"path"
	"strings"
	"time"
)

// maxUpload is the size limit of an uploaded image, in bytes; the other kinds' higher limits are not told apart.
const maxUpload = 10 << 20

// root exists in old releases only: newer ones hide it behind the API's own documentation.
func (s *Server) root(w http.ResponseWriter, _ *http.Request) {
	if s.options.Release != V0_6_5 {
		write(w, mustErrorBody("html-unknown-route.404"))
		return
	}
	reply(w, http.StatusOK, object{
		{"welcome", "Dify OpenAPI"}, {"api_version", "v1"}, {"server_version", s.options.Release.String()},
	})
}

func (s *Server) info(w http.ResponseWriter, _ *http.Request) {
	o := object{{"name", s.options.AppName}, {"description", ""}}
	if s.options.Release != V0_6_5 {
		o = append(o, member{"tags", list{}}, member{"mode", s.options.Mode.String()}, member{"author_name", "Owner"})
	}
	reply(w, http.StatusOK, o)
}

func (s *Server) meta(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, object{{"tool_icons", object{}}})
}

func (s *Server) site(w http.ResponseWriter, _ *http.Request) {
	if s.options.Release == V0_6_5 {
		write(w, mustErrorBody("html-unknown-route.404"))
		return
	}
	reply(w, http.StatusOK, object{
		{"title", s.options.AppName}, {"chat_color_theme", nil}, {"chat_color_theme_inverted", false},
		{"icon_type", "emoji"}, {"icon", "🤖"}, {"icon_background", "#fff"}, {"description", nil}, {"copyright", nil},
		{"privacy_policy", nil}, {"custom_disclaimer", ""}, {"default_language", "zh-Hans"},
		{"show_workflow_steps", true}, {"use_icon_as_answer_icon", false}, {"icon_url", nil},
	})
}

func (s *Server) parameters(w http.ResponseWriter, _ *http.Request) {
	old, flow := s.options.Release == V0_6_5, s.options.Mode == Chatflow
	var opening any = s.options.OpeningStatement
	if opening == "" && !flow {
		opening = nil
	}
	questions := s.options.SuggestedQuestions
	feature := func(on bool) object { return object{{"enabled", on}} }
	speech, avoidance := feature(false), append(feature(false), member{"type", ""})
	image := object{
		{"enabled", false}, {"number_limits", 3}, {"detail", "high"},
		{"transfer_methods", list{"remote_url", "local_file"}},
	}
	uploads := object{{"image", image}}
	switch {
	case flow:
		speech, avoidance = append(speech, member{"voice", ""}, member{"language", ""}), feature(false)
		uploads = object{}
		if old {
			uploads = object{{"image", feature(false)}}
		}
	case old:
		avoidance = append(avoidance, member{"configs", list{}})
	default:
		avoidance = append(avoidance, member{"config", object{}})
	}
	limits := object{
		{"image_file_size_limit", 10}, {"video_file_size_limit", 100}, {"audio_file_size_limit", 50},
		{"file_size_limit", 15}, {"workflow_file_upload_limit", 10},
	}
	if old {
		limits = object{{"image_file_size_limit", "10"}}
	}
	reply(w, http.StatusOK, object{
		{"opening_statement", opening}, {"suggested_questions", questions},
		{"suggested_questions_after_answer", feature(len(questions) > 0)}, {"speech_to_text", feature(false)},
		{"text_to_speech", speech}, {"retriever_resource", feature(!old && !flow)}, {"annotation_reply", feature(false)},
		{"more_like_this", feature(false)}, {"user_input_form", s.inputForm()}, {"sensitive_word_avoidance", avoidance},
		{"file_upload", uploads}, {"system_parameters", limits},
	})
}

// upload takes one file, forgets its content and gives it an id, which questions may name or not.
func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	missing, tooLarge := "no_file_uploaded.400", "file_too_large.new-unformatted-message.413"
	if s.options.Release == V0_6_5 {
		missing, tooLarge = "bad_request_key_error-audio.400", "file_too_large.old.413"
	}
	reader, err := r.MultipartReader()
	if err != nil {
		write(w, mustErrorBody(missing))
		return
	}
	user, files := defaultUser, []object(nil)
	for {
		part, err := reader.NextPart()
		if err != nil {
			break // the end, or a body that says no more than what was read
		}
		switch part.FormName() {
		case "user":
			text, _ := io.ReadAll(io.LimitReader(part, 4*maxUser))
			user = cmp.Or(string(text), defaultUser)
		case "file":
			file, no := readUpload(part, tooLarge)
			if no != nil {
				write(w, no)
				return
			}
			files = append(files, file)
		}
	}
	switch len(files) {
	case 0:
		write(w, mustErrorBody(missing))
	case 1:
		reply(w, http.StatusCreated, s.uploaded(files[0], user))
	default:
		write(w, mustErrorBody("too_many_files.400"))
	}
}

func readUpload(part *multipart.Part, tooLarge string) (object, *response) {
	// The part's own header: FileName drops what precedes a slash, which Dify refuses.
	name := part.FileName()
	if strings.ContainsAny(part.Header.Get("Content-Disposition"), `/\`) {
		return nil, problem(http.StatusBadRequest, "invalid_param", "Filename contains invalid characters")
	}
	if part.Header.Get("Content-Type") == "" {
		return nil, mustErrorBody("unsupported_file_type.415")
	}
	size, err := io.Copy(io.Discard, io.LimitReader(part, maxUpload+1))
	if err != nil {
		return nil, mustErrorBody("bad_request-json.400")
	}
	if size > maxUpload {
		return nil, mustErrorBody(tooLarge)
	}
	return object{
		{"id", newID()}, {"name", name}, {"size", size}, {"extension", strings.TrimPrefix(path.Ext(name), ".")},
		{"mime_type", part.Header.Get("Content-Type")},
	}, nil
}

func (s *Server) uploaded(file object, user string) object {
	file = append(file, member{"created_by", endUserID(s.app, user)}, member{"created_at", time.Now().Unix()})
	if s.options.Release == V0_6_5 {
		return file
	}
	id, _ := file[0].value.(string)
	return append(file, member{"preview_url", nil}, member{"source_url", "http://127.0.0.1/files/" + id + "/file-preview"},
		member{"original_url", nil}, member{"user_id", nil}, member{"tenant_id", endUserID(s.app, "")},
		member{"conversation_id", nil}, member{"file_key", nil})
}
