import com.fasterxml.jackson.databind.ObjectMapper;
import com.microsoft.signalr.CancelInvocationMessage;
import com.microsoft.signalr.CloseMessage;
import com.microsoft.signalr.CompletionMessage;
import com.microsoft.signalr.HubMessage;
import com.microsoft.signalr.HubProtocol;
import com.microsoft.signalr.InvocationBinder;
import com.microsoft.signalr.InvocationBindingFailureMessage;
import com.microsoft.signalr.InvocationMessage;
import com.microsoft.signalr.PingMessage;
import com.microsoft.signalr.StreamBindingFailureMessage;
import com.microsoft.signalr.StreamItem;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.msgpack.core.MessagePack;
import org.msgpack.core.MessagePacker;
import org.msgpack.core.MessageUnpacker;
import org.msgpack.jackson.dataformat.MessagePackFactory;
import org.msgpack.value.ArrayValue;
import org.msgpack.value.Value;

/**
 * The protocol "messagepack" for the official client, whose own one is a module that not every
 * registry of packages has. It uses the same libraries, and refuses what that refuses: headers
 * that are not a map, ids and errors that are not texts, and records of another length than they
 * say. It also refuses items that the specification does not have.
 */
final class Packed implements HubProtocol {
  private final ObjectMapper mapper = new ObjectMapper(new MessagePackFactory());

  @Override
  public String getName() {
    return "messagepack";
  }

  @Override
  public int getVersion() {
    return 1;
  }

  @Override
  public List<HubMessage> parseMessages(ByteBuffer payload, InvocationBinder binder) {
    List<HubMessage> messages = new ArrayList<>();
    while (payload.hasRemaining()) {
      int size = 0;
      for (int shift = 0, next = 0x80; (next & 0x80) != 0; shift += 7) {
        next = payload.get();
        size |= (next & 0x7f) << shift;
      }
      byte[] record = new byte[size];
      payload.get(record); // fails if the record has fewer bytes
      try (MessageUnpacker unpacker = MessagePack.newDefaultUnpacker(record)) {
        ArrayValue items = unpacker.unpackValue().asArrayValue();
        if (unpacker.hasNext()) throw new IllegalStateException("a record has bytes behind its array");
        messages.add(message(items, binder));
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
    return messages;
  }

  private HubMessage message(ArrayValue m, InvocationBinder binder) {
    int type = m.get(0).asIntegerValue().asInt();
    Map<String, String> headers = new HashMap<>();
    if (type <= 5) m.get(1).asMapValue().entrySet().forEach(e -> headers.put(text(e.getKey()), text(e.getValue())));
    switch (type) {
      case 1:
        wants(m, 6);
        String id = m.get(2).isNilValue() ? null : text(m.get(2));
        String target = text(m.get(3));
        List<String> streams = new ArrayList<>();
        m.get(5).asArrayValue().forEach(s -> streams.add(text(s)));
        try {
          List<Type> types = binder.getParameterTypes(target);
          ArrayValue values = m.get(4).asArrayValue();
          if (types.size() != values.size()) throw new IllegalArgumentException(values.size() + " arguments instead of " + types.size());
          Object[] arguments = new Object[types.size()];
          for (int i = 0; i < arguments.length; i++) arguments[i] = decode(values.get(i), types.get(i));
          return new InvocationMessage(headers, id, target, arguments, streams);
        } catch (Exception e) {
          return new InvocationBindingFailureMessage(id, target, e);
        }
      case 2:
        wants(m, 4);
        try {
          return new StreamItem(headers, text(m.get(2)), decode(m.get(3), binder.getReturnType(text(m.get(2)))));
        } catch (Exception e) {
          return new StreamBindingFailureMessage(text(m.get(2)), e);
        }
      case 3:
        int kind = m.get(3).asIntegerValue().asInt();
        wants(m, kind == 2 ? 4 : 5);
        if (kind < 1 || kind > 3) throw new IllegalArgumentException("a completion of the kind " + kind);
        String error = kind == 1 ? text(m.get(4)) : null;
        Object result = kind == 3 ? decode(m.get(4), binder.getReturnType(text(m.get(2)))) : null;
        return new CompletionMessage(headers, text(m.get(2)), result, error);
      case 6:
        wants(m, 1);
        return PingMessage.getInstance();
      case 7:
        wants(m, 3);
        return new CloseMessage(m.get(1).isNilValue() ? null : text(m.get(1)), m.get(2).asBooleanValue().getBoolean());
      default:
        throw new IllegalArgumentException("a server does not send the type " + type);
    }
  }

  private static void wants(ArrayValue m, int items) {
    if (m.size() != items) throw new IllegalArgumentException("a record has " + m.size() + " items instead of " + items + ": " + m);
  }

  private static String text(Value v) {
    return v.asStringValue().asString();
  }

  private Object decode(Value v, Type type) {
    if (type == null) return null; // the caller does not want it
    try {
      ByteArrayOutputStream bytes = new ByteArrayOutputStream();
      try (MessagePacker packer = MessagePack.newDefaultPacker(bytes)) {
        packer.packValue(v);
      }
      return mapper.readValue(bytes.toByteArray(), mapper.constructType(type));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public ByteBuffer writeMessage(HubMessage message) {
    List<Object> items = new ArrayList<>();
    items.add(message.getMessageType().value);
    switch (message.getMessageType()) {
      case INVOCATION:
      case STREAM_INVOCATION:
        InvocationMessage i = (InvocationMessage) message;
        items.add(headers(i.getHeaders()));
        items.add(i.getInvocationId());
        items.add(i.getTarget());
        items.add(i.getArguments());
        items.add(streams(i.getStreamIds()));
        break;
      case STREAM_ITEM:
        StreamItem s = (StreamItem) message;
        items.add(headers(s.getHeaders()));
        items.add(s.getInvocationId());
        items.add(s.getItem());
        break;
      case COMPLETION:
        CompletionMessage c = (CompletionMessage) message;
        items.add(headers(c.getHeaders()));
        items.add(c.getInvocationId());
        items.add(c.getError() != null ? 1 : c.getResult() != null ? 3 : 2);
        if (c.getError() != null) items.add(c.getError());
        else if (c.getResult() != null) items.add(c.getResult());
        break;
      case CANCEL_INVOCATION:
        CancelInvocationMessage cancel = (CancelInvocationMessage) message;
        items.add(headers(cancel.getHeaders()));
        items.add(cancel.getInvocationId());
        break;
      case PING:
        break;
      case CLOSE:
        CloseMessage close = (CloseMessage) message;
        items.add(close.getError());
        items.add(close.getAllowReconnect());
        break;
      default:
        throw new IllegalArgumentException("a client does not send " + message.getMessageType());
    }
    try {
      byte[] record = mapper.writeValueAsBytes(items);
      ByteArrayOutputStream framed = new ByteArrayOutputStream();
      for (int n = record.length; ; n >>>= 7) {
        framed.write(n > 0x7f ? n & 0x7f | 0x80 : n);
        if (n <= 0x7f) break;
      }
      framed.write(record);
      return ByteBuffer.wrap(framed.toByteArray());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Map<String, String> headers(Map<String, String> headers) {
    return headers == null ? Map.of() : headers;
  }

  private static Collection<String> streams(Collection<String> ids) {
    return ids == null ? List.of() : ids;
  }
}
