package wsmanager

import "github.com/speakingtube/speakingtube/wsmanager/internal/sender"

// SlowConsumer selects what happens to a connection whose peer reads too slowly, when its
// outbox is full (Options.Outbox.Messages, Outbox.Bytes). Pings, pongs and the close frame are
// exempt. A message of which a part has been written is always sent completely. SendContext
// waits instead of applying the policy.
type SlowConsumer uint8

const (
	// SlowConsumerClose closes the connection with 1013 (registered as "try again later",
	// see RFC 6455, section 11.7) and drops the messages of its outbox. The client
	// reconnects and requests the data that it needs. It is the default, because the other
	// policies leave gaps that a client cannot see.
	SlowConsumerClose = SlowConsumer(sender.Close)

	// SlowConsumerDropNewest drops the message that does not fit, and its sender gets
	// ErrOutboxFull. It suits messages that are independent of each other.
	SlowConsumerDropNewest = SlowConsumer(sender.DropNewest)

	// SlowConsumerDropOldest drops the oldest messages until there is room. It suits
	// messages of which only the newest matters, such as positions and prices. Messages
	// that are being written do not count against the limits, so with Outbox.Messages of 1
	// the newest message is always queued.
	SlowConsumerDropOldest = SlowConsumer(sender.DropOldest)
)

// String returns "close", "drop newest" or "drop oldest".
func (s SlowConsumer) String() string {
	switch s {
	case SlowConsumerClose:
		return "close"
	case SlowConsumerDropNewest:
		return "drop newest"
	case SlowConsumerDropOldest:
		return "drop oldest"
	}
	return "unknown"
}

func (s SlowConsumer) valid() bool { return s >= SlowConsumerClose && s <= SlowConsumerDropOldest }
