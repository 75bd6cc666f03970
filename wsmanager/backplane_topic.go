package wsmanager

import (
	"crypto/sha256"
	"strings"

	"github.com/speakingtube/speakingtube/wsmanager/internal/connid"
)

// A topic is what nodes subscribe to: one of all, one for each node, group and user.
// Names come from clients and from databases, and brokers give meaning to dots, stars
// and spaces; so a name is part of a topic only where that is harmless, and otherwise
// stands there as a hash.
const topicAll = "all"

// maxTopicName is how long a name may be that stands in a topic as it is.
const maxTopicName = 100

func topicOf(kind, name string) string {
	if len(name) <= maxTopicName && !strings.ContainsFunc(name, unsafeInTopic) {
		return kind + "-" + name
	}
	sum := sha256.Sum256([]byte(name))
	return kind + "=" + connid.Encoding.EncodeToString(sum[:])
}

func unsafeInTopic(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
}

func topicOfNode(id string) string { return topicOf("node", id) }
