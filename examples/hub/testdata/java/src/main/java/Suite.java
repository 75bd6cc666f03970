import com.microsoft.signalr.HubConnectionState;
import com.microsoft.signalr.TypeReference;
import io.reactivex.rxjava3.core.Observable;
import io.reactivex.rxjava3.core.Single;
import io.reactivex.rxjava3.subjects.PublishSubject;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** java Suite URL json|messagepack: the official client for Java, used as applications do. */
public final class Suite {
  public static final class Person {
    public String id;
    public String name;
  }

  public static final class Stroke {
    public int colour;
    public int width;
    public List<Integer> points;
  }

  public static final class Remark {
    public String id;
    public String name;
    public String text;
  }

  public static final class Scene {
    public Person you;
    public List<Person> people;
    public List<Stroke> strokes;
    public List<Remark> said;
  }

  public static final class Frame {
    public int done;
    public int total;
    public Stroke stroke;
  }

  private static <T> List<T> all(Observable<T> stream) {
    return stream.timeout(Harness.PATIENCE, TimeUnit.SECONDS).toList().blockingGet();
  }

  public static void main(String[] args) {
    Harness h = new Harness(args[0], args[1]);
    calls(h);
    events(h);
    streams(h);
    clientResults(h);
    connections(h);
    board(h);
    System.exit(0); // whatever threads the client still has
  }

  private static void calls(Harness h) {
    h.connected("a result", p -> Harness.equal(42, p.ask(Integer.class, "Add", 40, 2)));
    h.connected("no result", p -> p.call("Void"));
    h.connected("a result that is not wanted", p -> p.call("Add", 1, 2));
    h.connected("names in any case", p -> Harness.equal(3, p.ask(Integer.class, "add", 1, 2)));
    h.connected("null", p -> Harness.equal("null", p.ask(String.class, "Describe", (Object) null)));
    h.connected("fractions and booleans", p -> {
      Harness.equal(1.25, p.ask(Double.class, "Half", 2.5));
      Harness.equal(true, p.ask(Boolean.class, "Echo", true));
    });
    h.connected("lists", p -> {
      List<String> list = Arrays.asList("a", null, "c");
      Harness.equal(list, p.hub.<List<String>>invoke(new TypeReference<List<String>>() {}.getType(), "Echo", list).blockingGet());
    });
    h.connected("texts", p -> {
      for (String s : List.of("", "\u001e", "\u0000", "\"'\\", "\ud83d\ude00 \u00e9", "\u2028\u2029", "<&>", "a\u001eb\u001e", "\u65e5\u672c\u8a9e")) {
        Harness.equal(s, p.ask(String.class, "Echo", s));
      }
    });
    h.connected("an error", p -> Harness.equal("boom", Harness.fails(() -> p.call("Fail"))));
    h.connected("an error that is hidden", p -> {
      for (String method : List.of("Hide", "Panic")) {
        String text = Harness.fails(() -> p.call(method));
        Harness.contains("An unexpected error occurred invoking '" + method + "' on the server", text);
        if (text.contains("secret")) throw new AssertionError(text);
      }
    });
    h.connected("an unknown method", p -> Harness.contains("Nothing", Harness.fails(() -> p.call("Nothing"))));
    h.connected("wrong arguments", p -> {
      Harness.contains("Add", Harness.fails(() -> p.call("Add", 1)));
      Harness.contains("Add", Harness.fails(() -> p.call("Add", 1, "x")));
      Harness.equal(2, p.ask(Integer.class, "Add", 1, 1));
    });
    h.connected("many calls at once", p -> {
      List<Single<Integer>> calls = new ArrayList<>();
      for (int i = 0; i < 200; i++) calls.add(p.hub.invoke(Integer.class, "Add", i, 1));
      for (int i = 0; i < calls.size(); i++) Harness.equal(i + 1, calls.get(i).timeout(Harness.PATIENCE, TimeUnit.SECONDS).blockingGet());
    });
    h.connected("a big message", p -> {
      String big = "\u00e9".repeat(15_000); // 30 000 bytes: the limit is 32 KiB
      Harness.equal(big, p.ask(String.class, "Echo", big));
      List<String> received = all(p.hub.stream(String.class, "Big", 3, 300_000));
      Harness.equal(3, received.size());
      for (String s : received) Harness.equal("x".repeat(300_000), s);
    });
  }

  private static void events(Harness h) {
    h.connected("events with 0 to 3 arguments", p -> {
      BlockingQueue<String> got = new LinkedBlockingQueue<>();
      p.hub.on("told", () -> got.add("nothing"));
      p.call("Tell", "told", List.of());
      Harness.equal("nothing", Harness.next(got));
      p.hub.on("one", a -> got.add("" + a), String.class);
      p.hub.on("two", (a, b) -> got.add(a + b), String.class, Integer.class);
      p.hub.on("three", (a, b, c) -> got.add(a + b + c), String.class, Integer.class, Boolean.class);
      p.call("Tell", "one", List.of("a"));
      p.call("Tell", "two", List.of("a", 2));
      p.call("Tell", "three", List.of("a", 2, true));
      for (String want : List.of("a", "a2", "a2true")) Harness.equal(want, Harness.next(got));
    });
    h.connected("an event that nothing handles", p -> {
      p.call("Tell", "unknown", List.of(1, 2));
      p.call("Tell", "message", List.of("another number of arguments"));
      Harness.equal(2, p.ask(Integer.class, "Add", 1, 1));
    });
    h.test("groups", () -> {
      List<Harness.Peer> peers = List.of(h.peer().start(), h.peer().start(), h.peer().start());
      peers.get(0).call("JoinGroup", "g");
      peers.get(1).call("JoinGroup", "g");
      String id = peers.get(2).hub.getConnectionId();
      peers.get(2).call("ToGroup", "g", "members");
      peers.get(2).call("Broadcast", "all");
      for (Harness.Peer p : peers.subList(0, 2)) Harness.equal(List.of(id, "members"), Harness.next(p.messages));
      for (Harness.Peer p : peers) Harness.equal(List.of(id, "all"), Harness.next(p.messages));
      for (Harness.Peer p : peers) Harness.await(p.hub.stop());
    });
    h.connected("sends in order", p -> {
      for (int i = 0; i < 200; i++) p.hub.send("Broadcast", "" + i);
      for (int i = 0; i < 200; i++) Harness.equal("" + i, Harness.next(p.messages).get(1));
    });
  }

  private static void streams(Harness h) {
    h.connected("a stream", p -> {
      Harness.equal(List.of(0, 1, 2, 3, 4), all(p.hub.stream(Integer.class, "Counter", 5, 0)));
      Harness.equal(List.of(0, 1, 2), all(p.hub.stream(Integer.class, "Channel", 3)));
      Harness.equal(List.of(), all(p.hub.stream(Integer.class, "Counter", 0, 0)));
    });
    h.connected("a stream with an error", p -> {
      List<Integer> items = Collections.synchronizedList(new ArrayList<>());
      Harness.equal("broke", Harness.fails(() -> all(p.hub.stream(Integer.class, "BadStream").doOnNext(items::add))));
      Harness.equal(List.of(1), items);
    });
    h.connected("a stream that is left", p -> {
      Harness.equal(List.of(0, 1), all(p.hub.stream(Integer.class, "Counter", 1_000_000, 1).take(2)));
      Harness.equal(2, p.ask(Integer.class, "Add", 1, 1));
    });
    h.connected("streams at once", p -> {
      Observable<Integer> both = Observable.merge(p.hub.stream(Integer.class, "Counter", 500, 0), p.hub.stream(Integer.class, "Counter", 500, 0));
      Harness.equal(2 * 499 * 500 / 2, all(both).stream().mapToInt(i -> i).sum());
    });
    h.connected("a method that streams, invoked", p -> Harness.contains("Counter", Harness.fails(() -> p.call("Counter", 1, 1))));
    h.connected("an upload", p -> {
      Harness.equal(5050, p.ask(Integer.class, "Sum", Observable.range(1, 100)));
      Harness.equal(0, p.ask(Integer.class, "Sum", Observable.<Integer>empty()));
    });
    h.connected("two uploads", p -> Harness.equal(1 + 2 + 10 + 3 + 4, p.ask(Integer.class, "SumTwo", Observable.just(1, 2), 10, Observable.just(3, 4))));
    h.connected("an upload that fails", p -> {
      Observable<Integer> broken = Observable.concat(Observable.just(1), Observable.error(new IllegalStateException("torn")));
      Harness.fails(() -> p.ask(Integer.class, "Sum", broken));
      Harness.equal(2, p.ask(Integer.class, "Add", 1, 1));
    });
    h.connected("an upload without an answer", p -> {
      BlockingQueue<Integer> sums = new LinkedBlockingQueue<>();
      p.hub.on("summed", sums::add, Integer.class);
      p.hub.send("SumTo", Observable.range(1, 10));
      Harness.equal(55, Harness.next(sums));
    });
  }

  private static void clientResults(Harness h) {
    h.connected("a result of the client", p -> {
      p.hub.onWithResult("clientAdd", (a, b) -> Single.just(a + b), Integer.class, Integer.class);
      Harness.equal(11, p.ask(Integer.class, "AskClient", 5, 6));
    });
    h.connected("a result that comes late", p -> {
      PublishSubject<String> answer = PublishSubject.create();
      p.hub.onWithResult("later", x -> answer.firstOrError(), String.class);
      BlockingQueue<String> got = new LinkedBlockingQueue<>();
      p.hub.invoke(String.class, "AskAny", "later", "x").subscribe(got::add, e -> got.add("error " + e));
      Harness.equal(List.of(0, 1, 2), all(p.hub.stream(Integer.class, "Counter", 3, 1))); // meanwhile
      Harness.equal(2, p.ask(Integer.class, "Add", 1, 1));
      answer.onNext("finally");
      Harness.equal("finally", Harness.next(got));
    });
    h.connected("an error of the client", p -> {
      p.hub.onWithResult("never", x -> Single.error(new IllegalStateException("no luck")), String.class);
      Harness.contains("no luck", Harness.fails(() -> p.ask(String.class, "AskAny", "never", "x")));
    });
    h.connected("no handler", p -> Harness.contains("Client", Harness.fails(() -> p.ask(String.class, "AskAny", "nothing", "x"))));
  }

  private static void connections(Harness h) {
    h.test("without negotiation", () -> {
      Harness.Peer p = new Harness.Peer(h.builder("/hub").shouldSkipNegotiate(true)
          .withTransport(com.microsoft.signalr.TransportEnum.WEBSOCKETS).build()).start();
      Harness.equal(2, p.ask(Integer.class, "Add", 1, 1));
      Harness.await(p.hub.stop());
    });
    h.test("a token", () -> {
      Harness.Peer p = new Harness.Peer(h.builder("/hub").withAccessTokenProvider(Single.just("ann")).build()).start();
      Harness.equal("ann", p.ask(String.class, "WhoAmI"));
      Harness.await(p.hub.stop());
      Harness.contains("401", Harness.fails(() -> Harness.await(h.builder("/hub").withAccessTokenProvider(Single.just("bad")).build().start())));
    });
    h.test("a refusal in the negotiation", () ->
        Harness.contains("not today", Harness.fails(() -> Harness.await(h.builder("/hub?refuse=1").build().start()))));
    h.connected("an abort", p -> {
      p.hub.send("Abort");
      Harness.equal("", Harness.next(p.closed));
      Harness.equal(HubConnectionState.DISCONNECTED, p.hub.getConnectionState());
    });
    h.connected("a message that is too big", p -> {
      p.hub.send("Echo", "x".repeat(40_000));
      Harness.equal("Connection closed with an error.", Harness.next(p.closed));
    });
    h.test("the end, and a new beginning", () -> {
      Harness.Peer p = h.peer().start();
      String id = p.hub.getConnectionId();
      p.hub.send("Abort");
      Harness.next(p.closed);
      p.start();
      if (id.equals(p.hub.getConnectionId())) throw new AssertionError("the id is the old one");
      Harness.equal(2, p.ask(Integer.class, "Add", 1, 1));
      Harness.await(p.hub.stop());
      Harness.equal("", Harness.next(p.closed));
    });
    h.test("calls that are cut off", () -> {
      Harness.Peer p = h.peer().start();
      BlockingQueue<String> ends = new LinkedBlockingQueue<>();
      p.hub.stream(Integer.class, "Counter", 1000, 60_000).subscribe(i -> ends.add("" + i), e -> ends.add("failed"), () -> ends.add("done"));
      Harness.equal("0", Harness.next(ends));
      p.hub.send("Abort");
      Harness.equal("failed", Harness.next(ends));
      Harness.equal("", Harness.next(p.closed));
    });
    h.test("pings", () -> {
      Harness.Peer p = new Harness.Peer(h.builder("/quick/hub").withKeepAliveInterval(500).withServerTimeout(10_000).build()).start();
      // The hub sends a ping each second. Without pings the client would end the connection, and without its own the hub.
      Harness.equal(12, all(Observable.interval(1, TimeUnit.SECONDS).take(12)).size());
      Harness.equal(2, p.ask(Integer.class, "Add", 1, 1));
      Harness.await(p.hub.stop());
    });
    h.test("a silent client", () -> {
      Harness.Peer p = new Harness.Peer(h.builder("/quick/hub").withKeepAliveInterval(1_000_000).build()).start();
      Harness.next(p.closed);
    });
  }

  private static void board(Harness h) {
    h.test("the board", () -> {
      Harness.Peer ann = h.peer();
      BlockingQueue<String> got = new LinkedBlockingQueue<>();
      ann.hub.on("entered", who -> got.add("entered " + who.name), Person.class);
      ann.hub.on("drawn", (id, s) -> got.add("drawn " + s.points), String.class, Stroke.class);
      ann.hub.on("said", r -> got.add("said " + r.text), Remark.class);
      ann.hub.on("left", id -> got.add("left"), String.class);
      ann.start();
      Scene scene = ann.ask(Scene.class, "Enter", "Ann");
      Harness.equal("Ann", scene.you.name);
      Harness.equal(ann.hub.getConnectionId(), scene.you.id);
      Stroke stroke = new Stroke();
      stroke.colour = 1;
      stroke.width = 2;
      stroke.points = List.of(0, 0, 10_000, 10_000);
      ann.call("Draw", stroke);
      ann.call("Say", "<b>hi</b>");
      Harness.Peer bob = h.peer().start();
      Scene found = bob.ask(Scene.class, "Enter", "Bob");
      Harness.equal(2, found.people.size());
      Harness.equal(stroke.points, found.strokes.get(0).points);
      Harness.equal("<b>hi</b>", found.said.get(0).text);
      List<Frame> frames = all(bob.hub.stream(Frame.class, "Replay", 0));
      Harness.equal(1, frames.size());
      Harness.equal(stroke.points, frames.get(0).stroke.points);
      stroke.colour = 100;
      Harness.equal("There is no such colour.", Harness.fails(() -> bob.call("Draw", stroke)));
      Harness.await(bob.hub.stop());
      for (String want : List.of("drawn [0, 0, 10000, 10000]", "said <b>hi</b>", "entered Bob", "left")) Harness.equal(want, Harness.next(got));
      Harness.await(ann.hub.stop());
    });
  }
}
