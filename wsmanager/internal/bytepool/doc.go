// Package bytepool has byte slices of many sizes for the payloads of messages. Memory that was
// used before is neither cleared nor mapped anew, which costs more than reading a message into
// it.
//
// A slice belongs to the caller of [Get] until [Put]. Its content is arbitrary. The garbage
// collector frees slices that are not used.
package bytepool
