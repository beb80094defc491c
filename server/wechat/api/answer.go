package api

import (
	"encoding/json"
	"io"
	"net/http"
)

// maxAnswer bounds an answer that is JSON. The longest, a menu, has a few KiB.
const maxAnswer = 1 << 20

// readAnswer reads an answer that is to be a JSON object, and gives it if it says no error. WeChat answers with status 200 also to say
// one, and where all is well some calls leave the errcode out; with needCode that is a BadAnswer.
func readAnswer(api string, r *http.Response, needCode bool) ([]byte, *Error) {
	if r.StatusCode != http.StatusOK {
		return nil, &Error{API: api, Kind: BadAnswer, Status: r.StatusCode}
	}
	answer, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	if err != nil {
		return nil, &Error{API: api, Kind: Unreachable, cause: err}
	}
	return parseAnswer(api, answer, needCode)
}

func parseAnswer(api string, answer []byte, needCode bool) ([]byte, *Error) {
	if len(answer) > maxAnswer {
		return nil, &Error{API: api, Kind: BadAnswer, cause: reasonError("it is too long")}
	}
	code, message, ok := errcode(answer)
	switch {
	case !ok:
		return nil, &Error{API: api, Kind: BadAnswer, cause: reasonError("it is no JSON object of WeChat's")}
	case code != nil && *code != 0:
		return nil, refusal(api, *code, message)
	case code == nil && needCode:
		return nil, &Error{API: api, Kind: BadAnswer, cause: reasonError("it has no errcode")}
	}
	return answer, nil
}

// errcode reads what every answer may have; code is nil if it has none. It is not ok if the answer is not a JSON object, or has an errcode
// that is not a number.
func errcode(answer []byte) (code *int, message string, ok bool) {
	var head struct {
		Code    *int            `json:"errcode"`
		Message json.RawMessage `json:"errmsg"`
	}
	if !startsObject(answer) || json.Unmarshal(answer, &head) != nil {
		return nil, "", false
	}
	if json.Unmarshal(head.Message, &message) != nil {
		message = ""
	}
	return head.Code, message, true
}

// startsObject says whether the first byte that is not blank opens a JSON object: null is no answer.
func startsObject(b []byte) bool {
	for _, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n':
		case '{':
			return true
		default:
			return false
		}
	}
	return false
}
