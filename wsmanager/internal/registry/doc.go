// Package registry is a set of elements that are found by their id. It is a hash table
// that is chained through its elements: each element contains the variable that points to
// the next one. So an element costs this variable and about one more pointer. A Go map would
// need five times the memory, and be slower to walk.
//
// The table consists of shards, each with its own lock, which guards the variables of the
// elements in the shard. It calls only the methods of Element and the
// argument of Walk under a lock. The caller owns the
// elements, and what else they contain.
package registry
