#include "cmd/daemon/runner_link.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>
#include <variant>
#include <vector>


namespace glm::daemon {
namespace {

constexpr std::chrono::milliseconds kExitTimeMax{2000};

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

}  // namespace

RunnerLink::RunnerLink(Fd socket, Subprocess process)
    : socket_(std::move(socket)), process_(std::move(process)) {}

Result<std::shared_ptr<RunnerLink>> RunnerLink::start(const runner::LoadFrame& load) {
  SocketPair sockets = GLM_TRY(make_socket_pair());
  SpawnOptions spawn;
  spawn.program = "/proc/self/exe";  // this very program, also when an upgrade has replaced its file
  spawn.arguments = {"runner", "--fd", "3"};
  spawn.fds = {{.ours = sockets.theirs.get(), .theirs = 3}};
  spawn.group = ProcessGroup::own;  // a Ctrl-C meant for the daemon lets answers end in order
  Subprocess process = GLM_TRY(Subprocess::spawn(spawn).with("start the runner"));
  sockets.theirs = Fd();
  std::shared_ptr<RunnerLink> link(new RunnerLink(std::move(sockets.ours), std::move(process)));
  GLM_TRY(link->send(load));
  return link;
}

RunnerLink::~RunnerLink() {
  stop();
  if (reader_.joinable()) reader_.join();
  (void)process_.wait();
}

void RunnerLink::stop() {
  stopping_ = true;
  alive_ = false;
  ::shutdown(socket_.get(), SHUT_RDWR);
  (void)process_.signal(SIGKILL);
  fail_all(make_error(Errc::unavailable, "the model was unloaded"));
}

int RunnerLink::pid() const { return process_.pid(); }

Status RunnerLink::wait_until_ready(const Progress& progress) {
  while (true) {
    Result<runner::Frame> frame = runner::receive_frame(socket_.get());
    if (!frame.ok()) {
      alive_ = false;
      if (stopping_) return make_error(Errc::unavailable, "the load was stopped");
      return death();
    }
    if (const auto* step = std::get_if<runner::LoadProgressFrame>(&*frame)) {
      if (progress) progress(step->done_bytes, step->total_bytes);
    } else if (auto* failed = std::get_if<runner::LoadFailedFrame>(&*frame)) {
      alive_ = false;
      return std::move(failed->error);
    } else if (const auto* ready = std::get_if<runner::ReadyFrame>(&*frame)) {
      ready_ = *ready;
      reader_ = std::thread([this] { read(); });
      return Ok{};
    }
  }
}

Status RunnerLink::send(const runner::Frame& frame) {
  MutexLock lock(send_mutex_);
  return runner::send_frame(socket_.get(), frame);
}

Result<std::shared_ptr<TokenStream>> RunnerLink::submit(runner::GenerateRequest request) {
  std::shared_ptr<TokenStream> stream;
  {
    MutexLock lock(mutex_);
    request.id = next_id_++;
    stream = std::make_shared<TokenStream>(request.id);
    streams_.emplace(request.id, stream);
  }
  Status sent = alive() ? send(runner::GenerateFrame{std::move(request)})
                        : Status(make_error(Errc::unavailable, "the runner is gone"));
  if (!sent.ok()) {
    MutexLock lock(mutex_);
    streams_.erase(stream->id());
    return make_error(Errc::unavailable, "the model's runner has just ended; try again");
  }
  return stream;
}

void RunnerLink::cancel(const TokenStream& stream) {
  {
    MutexLock lock(mutex_);
    if (streams_.erase(stream.id()) == 0) return;
  }
  (void)send(runner::CancelFrame{stream.id()});
}

void RunnerLink::read() {
  while (true) {
    Result<runner::Frame> frame = runner::receive_frame(socket_.get());
    if (!frame.ok()) break;
    if (auto* step = std::get_if<runner::StepFrame>(&*frame)) {
      for (runner::RequestEvent& event : step->events) dispatch(std::move(event));
    }
  }
  alive_ = false;
  if (stopping_) return;
  const Error error = death();
  spdlog::error("runner ended pid={} reason=\"{}\"", process_.pid(), error.message);
  fail_all(error);
}

void RunnerLink::dispatch(runner::RequestEvent event) {
  const bool last = event.finish != runner::FinishReason::none;
  std::shared_ptr<TokenStream> stream;
  {
    MutexLock lock(mutex_);
    const auto it = streams_.find(event.id);
    if (it == streams_.end()) return;
    stream = it->second;
    if (last) streams_.erase(it);
  }
  if (!stream->push(std::move(event))) cancel(*stream);
}

// What became of a runner whose socket ended.
Error RunnerLink::death() {
  const auto status = process_.wait_for(kExitTimeMax).value_or(std::nullopt);
  if (!status) (void)process_.signal(SIGKILL);
  return make_error(Errc::device,
                    "the model's runner ended unexpectedly ({}); the next request starts a new one",
                    status ? status->str() : "it stopped answering");
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
