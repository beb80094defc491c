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

// upload takes one file, forgets its content and gives it an id, which questions of the same user may name.
func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	if fault := s.features.Load().UploadFault; fault != "" {
		_, _ = io.Copy(io.Discard, r.Body)
		write(w, mustErrorBody(fault))
		return
	}
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
		s.keepUpload(files[0], user)
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
