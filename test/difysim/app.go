package difysim

import (
	"net/http"
)

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
	f := s.features.Load()
	if f.Pictures > 0 {
		uploads = f.fileUpload(old)
	}
	if f.Speech != nil {
		speech = object{{"enabled", true}, {"voice", ""}, {"language", "zh-Hans"}}
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
		{"suggested_questions_after_answer", feature(len(f.Suggested) > 0)}, {"speech_to_text", feature(f.Heard != "")},
		{"text_to_speech", speech}, {"retriever_resource", feature(!old && !flow)}, {"annotation_reply", feature(false)},
		{"more_like_this", feature(false)}, {"user_input_form", s.inputForm()}, {"sensitive_word_avoidance", avoidance},
		{"file_upload", uploads}, {"system_parameters", limits},
	})
}
