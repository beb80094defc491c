// Package crowd is followers of an account who ask one question after another, tap on until each is answered to its end,
// and judge every piece of text that they are shown.
//
// Each question says in its text how Dify is to answer it, and each sentence of an answer says which question it belongs
// to, which of Dify's calls gave it, and where it stands. So nothing can be shown in a wrong place unnoticed, and Dify
// may be a [Dify] in another process. The crowd reads no state of the product, and knows nothing of the faults that it
// lives through: what excuses a toast, a refusal or a second call is for the test to say.
package crowd
