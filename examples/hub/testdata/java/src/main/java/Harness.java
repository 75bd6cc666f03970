import com.google.gson.Gson;
import com.microsoft.signalr.HttpHubConnectionBuilder;
import com.microsoft.signalr.HubConnection;
import com.microsoft.signalr.HubConnectionBuilder;
import io.reactivex.rxjava3.core.Completable;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** What the suite is built with: tests that print a line of JSON each, and connections. */
final class Harness {
  static final int PATIENCE = 30; // seconds

  interface Body {
    void run() throws Exception;
  }

  interface Use {
    void of(Peer p) throws Exception;
  }

  private static final ExecutorService tests = Executors.newCachedThreadPool(r -> {
    Thread t = new Thread(r);
    t.setDaemon(true);
    return t;
  });
  private final String base;
  private final boolean packed;

  Harness(String base, String protocol) {
    this.base = base;
    this.packed = protocol.equals("messagepack");
  }

  /** Runs a test, and prints how it went. */
  void test(String name, Body body) {
    String error = "";
    try {
      tests.submit(() -> {
        body.run();
        return null;
      }).get(2 * PATIENCE, TimeUnit.SECONDS);
    } catch (ExecutionException e) {
      StringWriter trace = new StringWriter();
      e.getCause().printStackTrace(new PrintWriter(trace));
      error = trace.toString();
    } catch (Exception e) {
      error = "it hangs: " + e;
    }
    System.out.println(new Gson().toJson(Map.of("name", name, "error", error)));
  }

  HttpHubConnectionBuilder builder(String path) {
    HttpHubConnectionBuilder b = HubConnectionBuilder.create(base + path);
    return packed ? b.withHubProtocol(new Packed()) : b;
  }

  /** A connection, with what it received. */
  static final class Peer {
    final HubConnection hub;
    final BlockingQueue<List<Object>> messages = new LinkedBlockingQueue<>();
    final BlockingQueue<String> closed = new LinkedBlockingQueue<>(); // the text of the error, or ""

    Peer(HubConnection hub) {
      this.hub = hub;
      hub.on("message", (id, text) -> messages.add(List.of(id, text)), String.class, String.class);
      hub.onClosed(e -> closed.add(e == null ? "" : String.valueOf(e.getMessage())));
    }

    Peer start() {
      await(hub.start());
      return this;
    }

    void call(String method, Object... args) {
      await(hub.invoke(method, args));
    }

    <T> T ask(Class<T> type, String method, Object... args) {
      return hub.invoke(type, method, args).timeout(PATIENCE, TimeUnit.SECONDS).blockingGet();
    }
  }

  static void await(Completable c) {
    c.timeout(PATIENCE, TimeUnit.SECONDS).blockingAwait();
  }

  /** Takes the next of what arrives. */
  static <T> T next(BlockingQueue<T> queue) throws InterruptedException {
    T item = queue.poll(PATIENCE, TimeUnit.SECONDS);
    if (item == null) throw new AssertionError("nothing arrives");
    return item;
  }

  Peer peer() {
    return new Peer(builder("/hub").build());
  }

  /** Runs a test with a connection. */
  void connected(String name, Use use) {
    test(name, () -> {
      Peer p = peer().start();
      use.of(p);
      await(p.hub.stop());
    });
  }

  static void equal(Object want, Object got) {
    if (!Objects.equals(want, got)) throw new AssertionError("got " + got + ", want " + want);
  }

  static void contains(String part, String whole) {
    if (whole == null || !whole.contains(part)) throw new AssertionError("got " + whole + ", which has no " + part);
  }

  /** Runs what must fail, and returns the text of the error. */
  static String fails(Body body) throws Exception {
    try {
      body.run();
    } catch (RuntimeException e) {
      Throwable cause = e;
      while (cause.getCause() != null && (cause.getMessage() == null || cause.getMessage().contains("Exception"))) cause = cause.getCause();
      return String.valueOf(cause.getMessage());
    }
    throw new AssertionError("it does not fail");
  }
}
