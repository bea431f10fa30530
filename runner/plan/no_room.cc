#include "runner/plan/no_room.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/units.h"
#include "runner/schedule/kv_blocks.h"

namespace glm::runner {
namespace {

constexpr std::size_t kAlternativesMax = 3;

// A context and its kernels have less than this: nobody else needs to be there.
constexpr std::uint64_t kOwnBytes = 1500U << 20U;

std::uint64_t context_bytes(const ModelNeeds& model, std::int64_t tokens) {
  return static_cast<std::uint64_t>(pages_of(tokens)) * model.page_bytes;
}

class Message {
 public:
  Message(const ModelNeeds& model, const HardwareFacts& hardware, const Shortage& shortage,
          const RunOverrides& overrides)
      : model_(model), hardware_(hardware), shortage_(shortage), overrides_(overrides) {
    const std::uint64_t pages = context_bytes(model, shortage.context);
    fixed_ = model.weight_bytes + model.workspace_bytes + shortage.graph_bytes;
    // Of a host, as much again is left to others.
    pages_ = hardware.is_gpu() ? pages : 2 * pages;
  }

  Error error() const {
    return make_error(Errc::exhausted, "{}{}; {}", needs(), has(), what_fits());
  }

 private:
  std::string needs() const {
    std::string parts = fmt::format("weights {}, workspace {}", format_bytes(model_.weight_bytes),
                                    format_bytes(model_.workspace_bytes));
    if (shortage_.graph_bytes > 0) {
      parts += fmt::format(", kept for CUDA {}", format_bytes(shortage_.graph_bytes));
    }
    return fmt::format("{} needs {} on {} ({}, a context of {} tokens {}{})",
                       model_.model.empty() ? "the model" : model_.model,
                       format_bytes(fixed_ + pages_), hardware_.device, parts, shortage_.context,
                       format_bytes(pages_), hardware_.is_gpu() ? "" : " with as much for others");
  }

  std::string has() const {
    std::string text =
        fmt::format(", where {} of {} are free", format_bytes(hardware_.memory_free_bytes),
                    format_bytes(hardware_.memory_total_bytes));
    if (model_.loaded) text += " beside the weights and the workspace";
    if (hardware_.memory == MemoryKind::unified) {
      text += fmt::format(" and {} are for a model, half of what GPU and host share",
                          format_bytes(hardware_.memory_total_bytes / 2));
    }
    const std::uint64_t taken = hardware_.memory_total_bytes -
                                std::min(hardware_.memory_total_bytes, hardware_.memory_free_bytes);
    if (!model_.loaded && hardware_.memory == MemoryKind::of_a_device && taken > kOwnBytes) {
      text += fmt::format(" and other programs have {}", format_bytes(taken));
    }
    return text;
  }

  // What is beside the weights stays what it is in another format.
  bool fits_instead(const Alternative& other) const {
    return other.weight_bytes < model_.weight_bytes &&
           fixed_ - model_.weight_bytes + other.weight_bytes + pages_ <= shortage_.available_bytes;
  }

  bool fits_on(const HardwareFacts& other) const {
    const std::uint64_t room = other.memory == MemoryKind::unified ? other.memory_total_bytes / 2
                                                                   : other.memory_free_bytes;
    return fixed_ + pages_ <= room;
  }

  void alternatives(std::vector<std::string>& ways) const {
    std::vector<Alternative> fitting;
    for (const Alternative& other : overrides_.alternatives) {
      if (fits_instead(other)) fitting.push_back(other);
    }
    // The best that fits is the largest.
    std::stable_sort(
        fitting.begin(), fitting.end(),
        [](const Alternative& a, const Alternative& b) { return a.weight_bytes > b.weight_bytes; });
    if (fitting.size() > kAlternativesMax) fitting.resize(kAlternativesMax);
    for (const Alternative& other : fitting) {
      ways.push_back(fmt::format("{} ({})", other.name, format_bytes(other.weight_bytes)));
    }
  }

  // Whether this very device could hold the model.
  bool once_freed(std::vector<std::string>& ways) const {
    const std::uint64_t wanted = fixed_ + pages_;
    if (model_.loaded || wanted <= shortage_.available_bytes) return false;
    const std::uint64_t bound =
        hardware_.memory == MemoryKind::unified
            ? hardware_.memory_total_bytes / 2
            : hardware_.memory_total_bytes - std::min(hardware_.memory_total_bytes, kOwnBytes / 2);
    if (wanted > bound) return false;
    ways.push_back(fmt::format("this model when {} more are free{}",
                               format_bytes(wanted - shortage_.available_bytes),
                               hardware_.is_gpu() ? " ('nvidia-smi' lists who has them)" : ""));
    return true;
  }

  void larger_gpu(std::vector<std::string>& ways) const {
    // Cards of one size differ by a few megabytes.
    const std::uint64_t larger = hardware_.memory_total_bytes + hardware_.memory_total_bytes / 20;
    for (const KnownHardware& row : known_hardware()) {
      const HardwareFacts other = facts_of(row);
      if (other.memory_total_bytes < larger || !fits_on(other)) continue;
      ways.push_back(
          fmt::format("a GPU such as {} ({})", row.name, format_bytes(other.memory_total_bytes)));
      break;
    }
  }

  void cpu(std::vector<std::string>& ways) const {
    if (fixed_ + pages_ <= hardware_.host_free_bytes) {
      ways.push_back(fmt::format("the CPU, slowly (--device cpu, {} free)",
                                 format_bytes(hardware_.host_free_bytes)));
    }
  }

  std::string what_fits() const {
    std::vector<std::string> ways;
    if (shortage_.context_fits > 0) {
      ways.push_back(fmt::format("a context of {0} tokens (num_ctx {0})", shortage_.context_fits));
    }
    const bool large_enough = once_freed(ways);
    alternatives(ways);
    if (hardware_.is_gpu() && !large_enough) larger_gpu(ways);
    if (hardware_.is_gpu()) cpu(ways);
    if (ways.empty()) return "nothing that glm knows of would fit";
    std::string text = "what would fit: " + ways.front();
    for (std::size_t i = 1; i < ways.size(); ++i) {
      text += (i + 1 == ways.size() ? " or " : ", ") + ways[i];
    }
    return text;
  }

  const ModelNeeds& model_;
  const HardwareFacts& hardware_;
  const Shortage& shortage_;
  const RunOverrides& overrides_;
  std::uint64_t fixed_ = 0;  // all but the pages
  std::uint64_t pages_ = 0;  // of the context that has no room
};

}  // namespace

Error no_room(const ModelNeeds& model, const HardwareFacts& hardware, const Shortage& shortage,
              const RunOverrides& overrides) {
  return Message(model, hardware, shortage, overrides).error();
}

}  // namespace glm::runner
