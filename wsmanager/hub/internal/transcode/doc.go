// Package transcode converts encoded values between JSON and MessagePack without Go types in between, so that the order of
// members and the digits of numbers stay. It does not know messages of hubs.
//
// A value is converted to what the other protocol's client would send for it: binary data is a text in base64, a timestamp a
// text in RFC 3339, and a key of a map the text of [mpack.KeyText]. A number of JSON is an integer or a float of 64 bits if
// that has all its digits, otherwise a text. A value that the other protocol cannot express is an error: NaN, infinities and
// unknown extensions in JSON, and the key "__proto__" in MessagePack, which ends the connection of a JavaScript client.
//
// The functions keep no state; callers own all buffers. At most [MaxDepth] levels of nesting are converted.
package transcode
