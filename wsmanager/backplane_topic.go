package wsmanager

import (
	"crypto/sha256"
	"strings"

	"github.com/speakingtube/speakingtube/wsmanager/internal/connid"
)

// topicAll is the topic to which every node subscribes. Each node, group and user has a topic
// of its own too.
const topicAll = "all"

// maxTopicName is the length of the longest name used as it is.
const maxTopicName = 100

// topicOf returns the topic of a node, group or user. Names come from clients and databases, and
// brokers have special meanings for dots, stars and spaces: a name with other characters than
// letters, digits, '-' and '_' is replaced with its hash.
func topicOf(kind, name string) string {
	if len(name) <= maxTopicName && !strings.ContainsFunc(name, unsafeInTopic) {
		return kind + "-" + name
	}
	sum := sha256.Sum256([]byte(name))
	// '=' marks a hash, so no name can equal another's hash.
	return kind + "=" + connid.Encoding.EncodeToString(sum[:])
}

func unsafeInTopic(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
}

func topicOfNode(id string) string { return topicOf("node", id) }
