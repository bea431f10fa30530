#include "runner/text/stop_strings.h"

#include <utility>

namespace glm::runner {
namespace {

std::size_t index(std::int32_t node) {
  return static_cast<std::size_t>(node);
}

}  // namespace

StopStrings::StopStrings(const std::vector<std::string>& stops) : nodes_(1) {
  for (const std::string& stop : stops) {
    if (stop.empty()) continue;
    std::int32_t at = 0;
    for (const char c : stop) {
      const auto byte = static_cast<unsigned char>(c);
      const auto found = nodes_[index(at)].next.find(byte);
      if (found != nodes_[index(at)].next.end()) {
        at = found->second;
        continue;
      }
      const auto fresh = static_cast<std::int32_t>(nodes_.size());
      nodes_[index(at)].next.emplace(byte, fresh);
      nodes_.push_back({.next = {}, .fallback = 0, .depth = nodes_[index(at)].depth + 1});
      at = fresh;
    }
    nodes_[index(at)].match_length = nodes_[index(at)].depth;
  }
  // Breadth first, so that a node's fallback is finished before the node.
  std::vector<std::int32_t> queue = {0};
  for (std::size_t i = 0; i < queue.size(); ++i) {
    const std::int32_t parent = queue[i];
    for (const auto& [byte, child] : nodes_[index(parent)].next) {
      Node& node = nodes_[index(child)];
      node.fallback = parent == 0 ? 0 : step(nodes_[index(parent)].fallback, byte);
      if (node.match_length == 0) node.match_length = nodes_[index(node.fallback)].match_length;
      queue.push_back(child);
    }
  }
}

std::int32_t StopStrings::step(std::int32_t state, unsigned char byte) const {
  while (true) {
    const Node& node = nodes_[index(state)];
    const auto found = node.next.find(byte);
    if (found != node.next.end()) return found->second;
    if (state == 0) return 0;
    state = node.fallback;
  }
}

std::string StopStrings::push(std::string_view text) {
  if (stopped_) return {};
  for (std::size_t i = 0; i < text.size(); ++i) {
    state_ = step(state_, static_cast<unsigned char>(text[i]));
    const std::int32_t match = nodes_[index(state_)].match_length;
    if (match == 0) continue;
    held_ += text.substr(0, i + 1);
    const std::size_t kept = held_.size() - index(match);
    stopped_ = true;
    stopped_by_ = held_.substr(kept);
    held_.resize(kept);
    return std::exchange(held_, {});
  }
  held_ += text;
  std::string out = held_.substr(0, held_.size() - index(nodes_[index(state_)].depth));
  held_.erase(0, out.size());
  return out;
}

std::string StopStrings::finish() {
  state_ = 0;
  return std::exchange(held_, {});
}

}  // namespace glm::runner
