// How fast read_extents() reads, beside a plain loop of preads over the same file in the same run.
//
//   build/cpu/bench/extent_reader_bench [MIB]
//
// The file (512 MiB unless told) was just written, so what is measured is the page cache unless the
// file is larger than memory. Each figure is the best of five, alternating. The plain loop has one
// buffer, which stays in the processor's cache where 16 MiB fit; a ring does not, so on cached
// files the plain loop is a ceiling rather than a peer.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "base/fd.h"
#include "runner/checkpoint/extent_reader.h"
#include "tests/fakes/tiny_random_model.h"

namespace {

using glm::runner::Checkpoint;
using glm::runner::Extent;
using glm::runner::FilledSlot;

constexpr std::size_t kSlotBytes = 16U << 20U;
constexpr std::size_t kTensorBytes = 3U << 20U;  // an expert's matrix

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void plain(const std::filesystem::path& path, std::span<std::byte> buffer) {
  const glm::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(fd.get(), buffer.data(), buffer.size(), at);
    if (got <= 0) return;
    at += got;
  }
}

void extents(const Checkpoint& checkpoint, std::span<const std::span<std::byte>> slots,
             std::size_t threads) {
  std::vector<Extent> all;
  for (const auto* tensor : checkpoint.tensors()) {
    all.push_back({.tensor = tensor, .first_byte = 0, .size_bytes = tensor->size_bytes, .tag = 0});
  }
  const glm::Status status = glm::runner::read_extents(
      checkpoint, std::move(all),
      {.slots = slots,
       .threads = threads,
       .deliver = [](const FilledSlot&) -> glm::Status { return glm::Ok{}; },
       .before_fill = {},
       .stop = {}});
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.error().message.c_str());
    std::exit(1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t mib = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 512;
  const glm::fakes::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "model.safetensors";
  {
    glm::fakes::FakeTensors tensors;
    for (std::size_t at = 0; at < mib << 20U; at += kTensorBytes) {
      glm::fakes::FakeTensor& tensor = tensors["tensor." + std::to_string(at)];
      tensor.dtype = "U8";
      tensor.shape = {static_cast<std::int64_t>(kTensorBytes)};
      tensor.bytes.resize(kTensorBytes, static_cast<std::byte>(at >> 20U));
    }
    glm::fakes::write_safetensors(path, tensors);
  }
  const auto checkpoint = Checkpoint::open({{"model.safetensors", path}});
  if (!checkpoint.ok()) return std::fprintf(stderr, "%s\n", checkpoint.error().message.c_str()), 1;

  std::vector<std::byte> memory(8 * kSlotBytes);
  std::vector<std::span<std::byte>> slots;
  for (std::size_t i = 0; i < 8; ++i) {
    slots.push_back(std::span(memory).subspan(i * kSlotBytes, kSlotBytes));
  }
  constexpr std::array<std::size_t, 4> kThreads = {1, 2, 4, 8};
  double best_plain = 1e9;
  std::array<double, 4> best = {1e9, 1e9, 1e9, 1e9};
  for (int round = 0; round < 5; ++round) {
    best_plain = std::min(best_plain, seconds([&] { plain(path, slots[0]); }));
    for (std::size_t i = 0; i < kThreads.size(); ++i) {
      best[i] = std::min(best[i], seconds([&] { extents(*checkpoint, slots, kThreads[i]); }));
    }
  }
  const double gigabytes = static_cast<double>(checkpoint->size_bytes()) / 1e9;
  std::printf("%-24s %6.2f GB/s\n", "plain pread", gigabytes / best_plain);
  for (std::size_t i = 0; i < kThreads.size(); ++i) {
    std::printf("extents, %zu threads       %6.2f GB/s  %.2f of plain\n", kThreads[i],
                gigabytes / best[i], best_plain / best[i]);
  }
  return 0;
}
