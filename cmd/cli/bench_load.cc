#include "cmd/cli/bench_load.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "base/errno_error.h"
#include "base/fd.h"

namespace glm::bench {
namespace {

constexpr int kTickMs = 100;
constexpr std::chrono::seconds kSilenceMax{600};
constexpr std::size_t kReceiveBytes = 64 << 10;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

bool accepts(const addrinfo& candidate) {
  const Fd probe(::socket(candidate.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return probe && ::connect(probe.get(), candidate.ai_addr, candidate.ai_addrlen) == 0;
}

// Of several addresses ("localhost" may be two) the first where somebody listens.
Result<SocketAddress> resolve(const HostAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int failure =
      ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &list);
  if (failure != 0) {
    return make_error(Errc::unavailable, "look up {}: {}", address.host, ::gai_strerror(failure));
  }
  const addrinfo* chosen = list;
  if (list->ai_next != nullptr) {
    while (chosen != nullptr && !accepts(*chosen)) chosen = chosen->ai_next;
    if (chosen == nullptr) chosen = list;
  }
  SocketAddress found;
  std::memcpy(&found.storage, chosen->ai_addr, chosen->ai_addrlen);
  found.size = chosen->ai_addrlen;
  ::freeaddrinfo(list);
  return found;
}

std::string request_head(const LoadTarget& target, std::size_t body_bytes) {
  std::string head = fmt::format(
      "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n"
      "Accept: text/event-stream\r\nConnection: close\r\nContent-Length: {}\r\n",
      target.path, target.address.authority(), body_bytes);
  if (!target.api_key.empty()) head += "Authorization: Bearer " + target.api_key + "\r\n";
  return head + "\r\n";
}

// One request on its own connection.
struct Stream {
  Stream(std::size_t index, Clock::Steady now) : request(index), heard(now), exchange(now) {}

  std::size_t request;
  Fd socket;
  std::string unsent;
  std::size_t sent_bytes = 0;
  Clock::Steady heard;
  Exchange exchange;
};

class Load {
 public:
  Load(const LoadTarget& target, const SocketAddress& address, std::span<const std::string> bodies,
       Clock& clock)
      : target_(target),
        address_(address),
        bodies_(bodies),
        clock_(clock),
        buffer_(kReceiveBytes, '\0') {}

  Result<LoadRun> run(std::size_t concurrency, const std::function<bool()>& interrupted) {
    epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_) return errno_error("make", "an epoll descriptor", errno);
    streams_.resize(std::min(concurrency, bodies_.size()));
    run_.records.resize(bodies_.size());
    run_.begun = clock_.now();
    for (std::size_t slot = 0; slot < streams_.size(); ++slot) begin_next(slot);
    Clock::Steady checked = run_.begun;
    std::array<epoll_event, 512> ready;
    while (under_way_ > 0) {
      const int count =
          ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), kTickMs);
      for (int i = 0; i < count; ++i) serve(ready[static_cast<std::size_t>(i)]);
      const Clock::Steady now = clock_.now();
      if (now - checked < std::chrono::milliseconds(kTickMs)) continue;
      checked = now;
      if (interrupted()) return make_error(Errc::cancelled, "interrupted");
      give_up_on_the_silent(now);
    }
    run_.ended = clock_.now();
    return std::move(run_);
  }

 private:
  // Requests that cannot even begin are over at once, and the next has its turn.
  void begin_next(std::size_t slot) {
    while (next_ < bodies_.size()) {
      auto stream = std::make_unique<Stream>(next_++, clock_.now());
      if (Status begun = connect(*stream, slot); begun.ok()) {
        streams_[slot] = std::move(stream);
        ++under_way_;
        return;
      } else {
        stream->exchange.fail(std::move(begun).error().message);
        run_.records[stream->request] = stream->exchange.record();
      }
    }
  }

  Status connect(Stream& stream, std::size_t slot) {
    const auto& to = reinterpret_cast<const sockaddr&>(address_.storage);
    const std::string where = target_.address.str();
    stream.socket = Fd(::socket(to.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!stream.socket) return errno_error("make a socket for", where, errno);
    const int yes = 1;
    (void)::setsockopt(stream.socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (::connect(stream.socket.get(), &to, address_.size) != 0 && errno != EINPROGRESS) {
      return errno_error("connect to", where, errno);
    }
    const std::string& body = bodies_[stream.request];
    stream.unsent = request_head(target_, body.size()) + body;
    return watch(stream, slot, EPOLL_CTL_ADD, EPOLLOUT);
  }

  Status watch(const Stream& stream, std::size_t slot, int operation, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = slot;
    if (::epoll_ctl(epoll_.get(), operation, stream.socket.get(), &event) == 0) return Ok{};
    return errno_error("watch a connection to", target_.address.str(), errno);
  }

  void serve(const epoll_event& event) {
    const auto slot = static_cast<std::size_t>(event.data.u64);
    Stream& stream = *streams_[slot];
    if (stream.sent_bytes < stream.unsent.size()) {
      send(stream, slot);
    } else {
      receive(stream);
    }
    if (stream.exchange.over()) end(slot);
  }

  void send(Stream& stream, std::size_t slot) {
    int failure = 0;
    socklen_t size = sizeof failure;
    (void)::getsockopt(stream.socket.get(), SOL_SOCKET, SO_ERROR, &failure, &size);
    ssize_t sent = 0;
    if (failure == 0) {
      sent = ::send(stream.socket.get(), stream.unsent.data() + stream.sent_bytes,
                    stream.unsent.size() - stream.sent_bytes, MSG_NOSIGNAL);
      if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (sent < 0) failure = errno;
    }
    if (failure != 0) {
      // A server that refuses may have said why before it closed.
      if (stream.sent_bytes > 0) receive(stream);
      const char* attempt = stream.sent_bytes > 0 ? "send to" : "connect to";
      return stream.exchange.fail(errno_error(attempt, target_.address.str(), failure).message);
    }
    stream.heard = clock_.now();
    stream.sent_bytes += static_cast<std::size_t>(sent);
    if (stream.sent_bytes < stream.unsent.size()) return;
    if (Status watched = watch(stream, slot, EPOLL_CTL_MOD, EPOLLIN); !watched.ok()) {
      stream.exchange.fail(std::move(watched).error().message);
    }
  }

  void receive(Stream& stream) {
    while (!stream.exchange.over()) {
      const ssize_t got = ::recv(stream.socket.get(), buffer_.data(), buffer_.size(), 0);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (got <= 0) return stream.exchange.close();
      const Clock::Steady now = clock_.now();
      stream.heard = now;
      stream.exchange.receive(std::string_view(buffer_).substr(0, static_cast<std::size_t>(got)),
                              now);
      if (static_cast<std::size_t>(got) < buffer_.size()) return;
    }
  }

  void end(std::size_t slot) {
    const std::unique_ptr<Stream> stream = std::move(streams_[slot]);
    run_.records[stream->request] = stream->exchange.record();
    --under_way_;
    begin_next(slot);
  }

  void give_up_on_the_silent(Clock::Steady now) {
    for (std::size_t slot = 0; slot < streams_.size(); ++slot) {
      Stream* stream = streams_[slot].get();
      if (stream == nullptr || now - stream->heard < kSilenceMax) continue;
      stream->exchange.fail(fmt::format("nothing came for {} s", kSilenceMax.count()));
      end(slot);
    }
  }

  const LoadTarget& target_;
  const SocketAddress& address_;
  const std::span<const std::string> bodies_;
  Clock& clock_;
  Fd epoll_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::size_t next_ = 0;
  std::size_t under_way_ = 0;
  std::string buffer_;
  LoadRun run_;
};

}  // namespace

Result<LoadRun> run_load(const LoadTarget& target, std::span<const std::string> bodies,
                         std::size_t concurrency, Clock& clock,
                         const std::function<bool()>& interrupted) {
  const SocketAddress address = GLM_TRY(resolve(target.address));
  return Load(target, address, bodies, clock).run(concurrency, interrupted);
}

}  // namespace glm::bench
