// Package media fetches pictures and files from addresses that came from outside: in a push, in an answer of a model. It keeps such
// addresses from reaching what only this process can reach, keeps what it fetches within bounds of size, time and memory, and tells a
// file's type by its content.
//
// It must not know where an address came from nor what a file is for: a Policy says what may be fetched, and the caller what it takes. It
// logs nothing, and no error's text holds an address or a host: addresses can be signed, and a model can write anything into one.
package media
