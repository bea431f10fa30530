#include "cmd/daemon/runner_link.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <utility>
#include <variant>
#include <vector>

namespace glm::daemon {
namespace {

// Between the end of the socket and the end of the process.
constexpr std::chrono::milliseconds kExitTimeMax{1000};

// From SIGKILL to the end of the process. One that is stuck in a driver may take for ever, and is
// not worth that nothing else is loaded.
constexpr std::chrono::milliseconds kKilledTimeMax{10000};

struct SocketPair {
  Fd ours;
  Fd theirs;
};

Result<SocketPair> make_socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
    return make_error(Errc::exhausted, "make a socket pair for the runner: {}",
                      std::strerror(errno));
  }
  return SocketPair{Fd(fds[0]), Fd(fds[1])};
}

void limit_silence(int fd, std::chrono::milliseconds time_max) {
  timeval limit{};
  limit.tv_sec = static_cast<time_t>(time_max.count() / 1000);
  limit.tv_usec = static_cast<suseconds_t>(time_max.count() % 1000 * 1000);
  (void)::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  (void)::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

Error hung(const std::string& how) {
  return make_error(Errc::device, "it hung: {}", how);
}

}  // namespace

RunnerLink::RunnerLink(Fd socket, Subprocess process, const RunnerLimits& limits, OnStats on_stats)
    : limits_(limits),
      on_stats_(std::move(on_stats)),
      socket_(std::move(socket)),
      process_(std::move(process)),
      watch_(system_clock().now(), limits.load_stall_max) {
  limit_silence(socket_.get(), limits_.silence_max);
}

Result<std::shared_ptr<RunnerLink>> RunnerLink::start(const runner::LoadFrame& load,
                                                      OnStats on_stats) {
  SocketPair sockets = GLM_TRY(make_socket_pair());
  SpawnOptions spawn;
  spawn.program =
      "/proc/self/exe";  // this very program, also when an upgrade has replaced its file
  spawn.arguments = {"runner", "--fd", "3"};
  spawn.fds = {{.ours = sockets.theirs.get(), .theirs = 3}};
  spawn.group = ProcessGroup::own;  // a Ctrl-C meant for the daemon lets answers end in order
  Subprocess process = GLM_TRY(Subprocess::spawn(spawn).with("start the runner"));
  sockets.theirs = Fd();
  auto link = std::make_shared<RunnerLink>(std::move(sockets.ours), std::move(process),
                                           RunnerLimits{}, std::move(on_stats));
  GLM_TRY(link->send(load));
  return link;
}

RunnerLink::~RunnerLink() {
  end();
}

void RunnerLink::stop() {
  stopping_ = true;
  alive_ = false;
  ::shutdown(socket_.get(), SHUT_RDWR);
  (void)process_.signal(SIGKILL);
  fail_all(make_error(Errc::unavailable, "the model was unloaded"));
}

void RunnerLink::end() {
  stop();
  MutexLock lock(end_mutex_);
  if (reader_.joinable()) reader_.join();
  MutexLock process_lock(process_mutex_);
  const auto status = process_.wait_for(kKilledTimeMax);
  if (!status.ok() || status->has_value()) return;
  spdlog::error(
      "runner does not end although it was killed; what it holds of the device is lost "
      "until it does pid={}",
      process_.pid());
  process_.disown();
}

// The next frame, beats judged and taken. An error is the end of the runner.
Result<runner::Frame> RunnerLink::receive() {
  while (true) {
    Result<runner::Frame> frame = runner::receive_frame(socket_.get());
    if (!frame.ok() && frame.error().code == Errc::cancelled) {
      return hung(fmt::format("nothing was heard of it for {} s",
                              static_cast<double>(limits_.silence_max.count()) / 1000));
    }
    if (!frame.ok()) return frame;
    const auto* beat = std::get_if<runner::BeatFrame>(&*frame);
    if (beat == nullptr) return frame;
    take_stats(beat->stats);
    if (auto wrong = watch_.beat(*beat, system_clock().now())) return hung(*wrong);
  }
}

Status RunnerLink::wait_until_ready() {
  while (true) {
    Result<runner::Frame> frame = receive();
    if (!frame.ok()) {
      alive_ = false;
      if (stopping_) return make_error(Errc::unavailable, "the load was stopped");
      return bury(frame.error());
    }
    if (auto* failed = std::get_if<runner::LoadFailedFrame>(&*frame)) {
      alive_ = false;
      return std::move(failed->error);
    }
    if (auto* ready = std::get_if<runner::ReadyFrame>(&*frame)) {
      ready_ = std::move(*ready);
      if (ready_.version != runner::kProtocolVersion) {
        return make_error(Errc::internal, "the runner speaks version {} of the protocol, not {}",
                          ready_.version, runner::kProtocolVersion);
      }
      watch_.ready(ready_, system_clock().now());
      reader_ = std::thread([this] { read(); });
      return Ok{};
    }
  }
}

Status RunnerLink::send(const runner::Frame& frame) {
  MutexLock lock(send_mutex_);
  Status sent = runner::send_frame(socket_.get(), frame);
  // A runner that does not read is as good as gone, and half a frame can not be continued: whoever
  // reads finds the end and tells everybody.
  if (!sent.ok()) ::shutdown(socket_.get(), SHUT_RDWR);
  return sent;
}

Result<std::shared_ptr<TokenStream>> RunnerLink::submit(
    std::vector<runner::GenerateRequest> requests) {
  std::shared_ptr<TokenStream> stream;
  {
    MutexLock lock(mutex_);
    stream = std::make_shared<TokenStream>(next_id_, requests.size());
    for (runner::GenerateRequest& request : requests) {
      request.id = next_id_++;
      streams_.emplace(request.id, stream);
    }
  }
  Status sent = alive() ? Status(Ok{}) : make_error(Errc::unavailable, "the runner is gone");
  for (runner::GenerateRequest& request : requests) {
    if (sent.ok()) sent = send(runner::GenerateFrame{std::move(request)});
  }
  if (sent.ok()) return stream;
  cancel_all(*stream);
  return make_error(Errc::unavailable, "the model's runner has just ended; try again");
}

void RunnerLink::cancel(std::uint64_t id) {
  {
    MutexLock lock(mutex_);
    if (streams_.erase(id) == 0) return;
  }
  (void)send(runner::CancelFrame{id});
}

void RunnerLink::cancel_all(const TokenStream& stream) {
  for (std::size_t answer = 0; answer < stream.answers(); ++answer) cancel(stream.id(answer));
}

void RunnerLink::read() {
  Result<runner::Frame> frame = receive();
  while (frame.ok()) {
    if (auto* step = std::get_if<runner::StepFrame>(&*frame)) {
      for (runner::RequestEvent& event : step->events) dispatch(std::move(event));
    }
    frame = receive();
  }
  alive_ = false;
  if (!stopping_) {
    const Error error = bury(frame.error());
    spdlog::error("runner ended pid={} reason=\"{}\"", process_.pid(), error.message);
    fail_all(error);
  }
  runner::EngineStats last = stats();
  last.running = last.waiting = 0;
  last.pages_used = last.pages_total = 0;
  take_stats(last);
}

void RunnerLink::dispatch(runner::RequestEvent event) {
  const bool last = event.finish != runner::FinishReason::none;
  if (event.finish == runner::FinishReason::stop || event.finish == runner::FinishReason::length) {
    answered_ = true;
  }
  std::shared_ptr<TokenStream> stream;
  {
    MutexLock lock(mutex_);
    const auto it = streams_.find(event.id);
    if (it == streams_.end()) return;
    stream = it->second;
    if (last) streams_.erase(it);
  }
  if (!stream->push(std::move(event))) cancel_all(*stream);
}

void RunnerLink::take_stats(const runner::EngineStats& stats) {
  runner::EngineStats before;
  {
    MutexLock lock(mutex_);
    before = std::exchange(stats_, stats);
  }
  if (on_stats_) on_stats_(before, stats);
}

runner::EngineStats RunnerLink::stats() const {
  MutexLock lock(mutex_);
  return stats_;
}

std::uint64_t RunnerLink::held_bytes() const {
  if (ready_.device != "cpu") return ready_.memory_bytes;
  // In pages: all, and those that are in memory.
  std::ifstream stream(fmt::format("/proc/{}/statm", process_.pid()));
  std::uint64_t all = 0, resident = 0;
  if (!(stream >> all >> resident)) return 0;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::string RunnerLink::death() const {
  MutexLock lock(mutex_);
  return death_;
}

// What became of a runner that hung, or whose socket ended.
Error RunnerLink::bury(const Error& why) {
  std::string death;
  if (why.code == Errc::device) {
    (void)process_.signal(SIGKILL);
    death = why.message;
  } else {
    MutexLock lock(process_mutex_);
    const auto status = process_.wait_for(kExitTimeMax).value_or(std::nullopt);
    if (!status) (void)process_.signal(SIGKILL);
    death = status ? status->str() : "it stopped answering";
  }
  {
    MutexLock lock(mutex_);
    death_ = death;
  }
  return make_error(Errc::device,
                    "the model's runner ended unexpectedly ({}); the next request starts a new one",
                    death);
}

void RunnerLink::fail_all(const Error& error) {
  std::map<std::uint64_t, std::shared_ptr<TokenStream>> streams;
  {
    MutexLock lock(mutex_);
    streams = std::exchange(streams_, {});
  }
  for (auto& [id, stream] : streams) {
    runner::RequestEvent event;
    event.id = id;
    event.finish = runner::FinishReason::failed;
    event.code = error.code;
    event.message = error.message;
    (void)stream->push(std::move(event));
  }
}

}  // namespace glm::daemon
