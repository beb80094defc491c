// Package testdata embeds the recorded fixtures that tests and the stand-ins under test/ share:
// WeChat pushes, hostile bodies and cipher vectors (wechat/), and the answers and streams of real
// Dify releases (dify/). Files are byte-exact. Nothing that production runs imports it.
package testdata

import "embed"

// WeChat holds wechat/: manifest.json names each file and what is expected of it; vectors.json has the cipher's vectors.
//
//go:embed wechat
var WeChat embed.FS

// Dify holds dify/: sse/ (streams), errors/ (bodies, NAME.STATUS.json), responses/VERSION/ (NAME.STATUS.json).
//
//go:embed dify
var Dify embed.FS
