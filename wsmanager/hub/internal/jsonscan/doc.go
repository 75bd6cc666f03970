// Package jsonscan finds the members of JSON objects and the ends of their values, and checks the grammar of both (RFC 8259). It
// decodes nothing and allocates nothing. It handles what programs usually write, and leaves everything else, such as escapes in
// the names of members or deep nesting, to encoding/json: a failure does not mean that the text is not valid.
package jsonscan
