// Published checkpoints of the GLM family as far as their facts are known: config.json and the
// other small files, and the header of every weights file, made when a test asks for them. Nothing
// of their weights is kept; a header tells names, dtypes and shapes.
//
// Where a fact is not published but follows from sizes or from siblings, the line that uses it says
// [inferred]. File names and how tensors are spread over files are inferred everywhere but for
// those that say otherwise.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runner/checkpoint/checkpoint.h"
#include "tests/fakes/dossiers/tensors.h"

namespace glm::fakes {

struct Dossier {
  std::string repository;
  std::string revision = "main";
  std::map<std::string, std::string> small_files;
  NamedTensors tensors;
  std::vector<runner::ShardHeader> shards;

  std::uint64_t tensor_bytes() const;
  std::uint64_t file_bytes() const;  // of the weights files
};

// One file and one row (or a few, where checkpoints differ in a line) per base model.
struct DossierRow {
  std::string_view name;  // of the golden file
  Dossier (*build)();
};
std::span<const DossierRow> flash_dossiers();
std::span<const DossierRow> glm4_dossiers();

// How tensors are spread over files.
struct Sharding {
  std::size_t files = 1;  // one: model.safetensors without an index
  bool mtp_file = false;  // the layer from `mtp_layer` on is in mtp.safetensors
  std::int64_t mtp_layer = 0;
};
// Fills shards and the index from the tensors.
void shard(Dossier& dossier, const Sharding& sharding);

}  // namespace glm::fakes
