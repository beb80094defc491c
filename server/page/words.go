package page

// words are those of the page itself.
type words struct {
	language, title, gone, tooMany, unavailable string
	picture, video, audio, file, link           string
}

var (
	chinese = &words{
		language: "zh-CN", title: "完整回答",
		gone:        "这个回答已经看不到了：链接可能过期了，或者对话已经清空。请回到公众号重新提问。",
		tooMany:     "打开得太频繁了，请过一会儿再试。",
		unavailable: "暂时打不开这个回答，请过一会儿再试。",
		picture:     "图片", video: "视频", audio: "音频", file: "文件", link: "链接",
	}
	english = &words{
		language: "en", title: "The whole answer",
		gone:        "This answer is not here any more: its link has expired, or the conversation was cleared. Please ask again in the account.",
		tooMany:     "Too many requests. Please try again in a while.",
		unavailable: "This answer cannot be shown right now. Please try again in a while.",
		picture:     "image", video: "video", audio: "audio", file: "file", link: "link",
	}
)

func wordsOf(inEnglish bool) *words {
	if inEnglish {
		return english
	}
	return chinese
}
