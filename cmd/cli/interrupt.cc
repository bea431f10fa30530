#include "cmd/cli/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "base/check.h"

namespace glm {
namespace {

constexpr char kInterrupted = 'i', kOver = 'o';
constexpr int kRepeatMs = 20;

std::atomic<int> handler_fd{-1};

void on_interrupt(int) {
  const int saved = errno;
  const int fd = handler_fd.load();
  if (fd >= 0) (void)!::write(fd, &kInterrupted, 1);
  errno = saved;
}

}  // namespace

InterruptScope::InterruptScope(std::function<void()> stop) : stop_(std::move(stop)) {
  int ends[2];
  GLM_CHECK(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  read_ = Fd(ends[0]);
  write_ = Fd(ends[1]);
  GLM_CHECK(handler_fd.exchange(write_.get()) == -1);
  watcher_ = std::thread([this] { watch(); });
  before_ = std::signal(SIGINT, &on_interrupt);
}

InterruptScope::~InterruptScope() {
  (void)std::signal(SIGINT, before_);
  handler_fd.store(-1);
  (void)!::write(write_.get(), &kOver, 1);
  watcher_.join();
}

void InterruptScope::watch() {
  while (true) {
    pollfd ready{.fd = read_.get(), .events = POLLIN, .revents = 0};
    (void)::poll(&ready, 1, interrupted_.load() ? kRepeatMs : -1);
    char message = 0;
    while (::read(read_.get(), &message, 1) == 1) {
      if (message == kOver) return;
      interrupted_.store(true);
    }
    if (interrupted_.load()) stop_();
  }
}

}  // namespace glm
