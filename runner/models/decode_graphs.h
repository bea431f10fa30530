// Steps that repeat: while sequences get one token each, step after step asks for the same
// operations on the same memory, and a backend that can writes them down once and runs them in one
// go.
//
// Thread safety: none.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <tuple>

#include "kernels/ops.h"

namespace glm::runner {

// What decides about shapes and addresses of a step with one token for each sequence.
struct DecodeShape {
  std::int64_t pool = 0;  // which of the model's pools the cached rows are in
  std::int64_t sequences = 0;
  std::int64_t table_width = 0;
  bool samples = false;  // tokens are wanted, not logits
  bool filters = false;  // of some sequence's likely tokens only a part may be drawn
  bool looks = false;    // somebody wants more of the logits than the draw

  bool operator<(const DecodeShape& other) const {
    return std::tie(pool, sequences, table_width, samples, filters, looks) <
           std::tie(other.pool, other.sequences, other.table_width, other.samples, other.filters,
                    other.looks);
  }
};

// The next of the numbers of sequences that steps are recorded for, so that there are few however
// many come and go: none more up to 8, at most a third from there, a quarter from 32 on.
std::int64_t recorded_sequences(std::int64_t sequences);

class DecodeGraphs {
 public:
  // Runs what `enqueue` asks for: as it is the first time a shape occurs, recorded from then on.
  // Fails if the device did, while it was waited for.
  Status run(kernels::Ops& ops, const DecodeShape& shape, const std::function<void()>& enqueue);

 private:
  struct Entry {
    std::unique_ptr<kernels::Recording> recording;
    bool tried = false;
    std::uint64_t used = 0;  // when last
  };
  Status make_room(kernels::Ops& ops);

  std::map<DecodeShape, Entry> entries_;
  std::uint64_t steps_ = 0;
};

}  // namespace glm::runner
