package wsmanager

// SlowConsumer says what happens to a connection that reads more slowly than it
// is sent to, when its outbox is full (Options.Outbox.Messages, Outbox.Bytes).
// Pings, pongs and the close frame are exempt, and a message of which a part has
// left always goes out whole. SendContext waits instead.
type SlowConsumer uint8

const (
	// SlowConsumerClose closes the connection with 1013 (RFC 6455 has it
	// registered as "try again later"), and what waited is lost: the client
	// connects again and asks for what it needs. The default, because the others
	// leave gaps that a client can't see.
	SlowConsumerClose SlowConsumer = iota + 1

	// SlowConsumerDropNewest drops the message that finds no room; its sender
	// gets ErrOutboxFull. For messages that stand for themselves.
	SlowConsumerDropNewest

	// SlowConsumerDropOldest drops the messages that wait longest until there is
	// room. For messages of which the newest is what counts, such as positions
	// and prices. What is on its way to the peer does not count against the
	// limits, so that with Outbox.Messages of 1 the newest always waits.
	SlowConsumerDropOldest
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
