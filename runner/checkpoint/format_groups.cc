#include "runner/checkpoint/format_groups.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>

#include "runner/checkpoint/formats.h"

namespace glm::runner {
namespace {

using kernels::Dtype;

// The number after "layers.".
std::optional<std::int64_t> layer_of(std::string_view module) {
  constexpr std::string_view kBefore = "layers.";
  const std::size_t found = module.find(kBefore);
  if (found == std::string_view::npos || (found > 0 && module[found - 1] != '.')) return {};
  module.remove_prefix(found + kBefore.size());
  std::int64_t layer = 0;
  const auto [end, error] = std::from_chars(module.data(), module.data() + module.size(), layer);
  if (error != std::errc() || layer < 0) return {};
  return layer;
}

struct GroupRow {
  std::string_view part;  // of the module's name, closed with a dot
  std::string_view group;
};
constexpr std::array<GroupRow, 9> kGroups = {{
    {"embed_tokens.", "embeddings"},
    {"lm_head.", "output head"},
    {"norm", "norms"},
    {".self_attn.", "attention"},
    {".mlp.experts.", "experts"},
    {".mlp.shared_experts.", "shared experts"},
    {".mlp.gate.", "router"},
    {".mlp.router.", "router"},
    {".mlp.", "dense mlp"},
}};
constexpr std::string_view kOtherGroup = "other";

std::string_view group_of(std::string_view module, std::int64_t layers) {
  const std::optional<std::int64_t> layer = layer_of(module);
  if (layer && layers > 0 && *layer >= layers) return kMtpGroup;
  const std::string closed = std::string(module) + ".";  // ".mlp.gate." is not ".mlp.gate_proj."
  for (const GroupRow& row : kGroups) {
    if (closed.find(row.part) != std::string::npos) return row.group;
  }
  return kOtherGroup;
}

// "model.norm.weight" -> "model.norm"; "m.weight.absmax" -> "m".
std::string_view module_of(std::string_view tensor) {
  std::string_view module = tensor.substr(0, std::min(tensor.rfind('.'), tensor.size()));
  if (module.ends_with(".weight")) module.remove_suffix(std::string_view(".weight").size());
  return module;
}

using Tensors = std::vector<const TensorInfo*>;

std::string_view suffix_of(const TensorInfo& tensor, const std::string& module) {
  return std::string_view(tensor.name).substr(std::min(module.size() + 1, tensor.name.size()));
}

bool is_plain_float(const TensorInfo& tensor) {
  return tensor.dtype == Dtype::bf16 || tensor.dtype == Dtype::f16 || tensor.dtype == Dtype::f32;
}

// What a format (formats.h) decides about; vectors and fused experts are plain tensors.
bool is_matrix_part(const TensorInfo& tensor, std::string_view suffix) {
  if (suffix == "weight") return !is_plain_float(tensor) || tensor.shape.size() == 2;
  return suffix == "weight_packed" || suffix == "qweight" || suffix == "W_q" ||
         suffix == "trellis" || suffix == "q_weight" || suffix == "compressed" ||
         suffix.ends_with("_blocks");
}

// A tensor of parameters in its own right, beside the matrix or without one.
bool is_plain_part(const TensorInfo& tensor, std::string_view suffix) {
  return is_plain_float(tensor) &&
         (suffix == "weight" || suffix == "bias" || suffix == "e_score_correction_bias" ||
          tensor.shape.size() == 3);
}

struct StoredModule {
  std::string label;
  std::uint64_t parameters = 0;
  bool matrix = false;
  bool quantized = false;
};

// A module without parameters (scales of a cache, say) has an empty label.
Result<StoredModule> stored_module(const Checkpoint& checkpoint, const std::string& module,
                                   const ModuleScheme& scheme, const Tensors& tensors) {
  StoredModule result;
  bool matrix = false;
  const TensorInfo* largest = nullptr;
  for (const TensorInfo* tensor : tensors) {
    const std::string_view suffix = suffix_of(*tensor, module);
    if (is_matrix_part(*tensor, suffix)) {
      matrix = true;
    } else if (is_plain_part(*tensor, suffix)) {
      result.parameters += static_cast<std::uint64_t>(tensor->elements());
      if (largest == nullptr || tensor->size_bytes > largest->size_bytes) largest = tensor;
    }
  }
  if (matrix) {
    const StoredWeight stored =
        GLM_TRY(detect_format({.checkpoint = checkpoint, .module = module, .scheme = scheme}));
    result.label = stored.label;
    result.parameters += static_cast<std::uint64_t>(stored.layout.rows * stored.layout.cols);
    result.matrix = true;
    result.quantized = stored.layout.quantized();
  } else if (largest != nullptr) {
    result.label = kernels::name(largest->dtype);
    result.matrix = largest->shape.size() == 3;
  }
  return result;
}

// {0, 1, 2, 46} -> "0-2, 46".
std::string ranges(const std::set<std::int64_t>& numbers) {
  std::string text;
  for (auto it = numbers.begin(); it != numbers.end();) {
    const std::int64_t first = *it;
    std::int64_t last = first;
    for (++it; it != numbers.end() && *it == last + 1; ++it) last = *it;
    if (!text.empty()) text += ", ";
    text += first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
  }
  return text;
}

// Modules of one kind that there is one sentence about.
struct Seen {
  std::uint64_t count = 0;
  std::string first;

  void add(const std::string& module) {
    if (count++ == 0) first = module;
  }
  std::string what() const {
    return count == 1 ? fmt::format("module '{}' is", first)
                      : fmt::format("{} modules (the first is '{}') are", count, first);
  }
};

class Summary {
 public:
  Summary(const Checkpoint& checkpoint, const Quantization& quantization, std::int64_t layers)
      : checkpoint_(checkpoint), quantization_(quantization), layers_(layers) {}

  Status add(const std::string& module, const Tensors& tensors) {
    std::string_view group = group_of(module, layers_);
    const ModuleScheme scheme = quantization_.scheme_of(module);
    Result<StoredModule> stored = stored_module(checkpoint_, module, scheme, tensors);
    if (!stored.ok()) {
      // Nothing depends on these being readable.
      const bool needed = group != kMtpGroup && group != kOtherGroup;
      if (needed && stored.error().code != Errc::unsupported) return std::move(stored).error();
      if (needed && !result_.refusal) result_.refusal = stored.error();
      if (!needed) unreadable_[group].add(module);
      const std::string_view name = recognised_format(checkpoint_, module);
      stored = StoredModule{.label = std::string(name.empty() ? "not readable" : name),
                            .matrix = true,
                            .quantized = true};
    }
    if (stored->label.empty()) {
      group = kOtherGroup;
      stored->label = kernels::name(tensors.front()->dtype);
    }
    count(group, *stored, tensors);
    if (stored->matrix) compare(module, group, scheme, *stored);
    return Ok{};
  }

  Result<StoredFormats> finish() {
    look_for_mtp();
    write_notes();
    std::map<std::string, std::uint64_t> by_format;
    for (auto& [key, row] : groups_) {
      if (row.group != kMtpGroup) by_format[row.format] += row.parameters;
      if (row.group != kMtpGroup) result_.parameters += row.parameters;
      result_.groups.push_back(std::move(row));
    }
    std::stable_sort(result_.groups.begin(), result_.groups.end(),
                     [](const FormatGroup& a, const FormatGroup& b) {
                       const bool a_main = a.group != kMtpGroup, b_main = b.group != kMtpGroup;
                       return a_main == b_main ? a.bytes > b.bytes : a_main;
                     });
    const auto most = std::max_element(by_format.begin(), by_format.end(),
                                       [](auto& a, auto& b) { return a.second < b.second; });
    if (most != by_format.end() && most->second > 0) result_.summary = most->first;
    if (any_quantized_) list_unquantized();
    return std::move(result_);
  }

 private:
  struct Matrices {
    std::uint64_t all = 0;
    Seen plain;
    std::set<std::int64_t> plain_layers;
  };

  void count(std::string_view group, const StoredModule& stored, const Tensors& tensors) {
    FormatGroup& row = groups_[{std::string(group), stored.label}];
    row.group = group;
    row.format = stored.label;
    row.modules += 1;
    row.parameters += stored.parameters;
    for (const TensorInfo* tensor : tensors) row.bytes += tensor->size_bytes;
  }

  void compare(const std::string& module, std::string_view group, const ModuleScheme& scheme,
               const StoredModule& stored) {
    Matrices& matrices = matrices_[std::string(group)];
    matrices.all += 1;
    any_quantized_ = any_quantized_ || stored.quantized;
    if (!stored.quantized) {
      matrices.plain.add(module);
      if (const auto layer = layer_of(module)) matrices.plain_layers.insert(*layer);
    }
    if (scheme.quantized && !stored.quantized) plain_all_the_same_.add(module);
    if (!scheme.quantized && stored.quantized) quantized_all_the_same_.add(module);
  }

  // A whole one has all of these.
  void look_for_mtp() {
    const std::string layer = fmt::format("model.layers.{}.", layers_);
    constexpr std::array<std::string_view, 5> kParts = {"eh_proj.", "enorm.", "hnorm.",
                                                        "self_attn.", "mlp."};
    std::string missing;
    std::size_t found = 0;
    for (const std::string_view part : kParts) {
      const std::string prefix = layer + std::string(part);
      const std::vector<const TensorInfo*>& all = checkpoint_.tensors();
      const auto at = std::lower_bound(
          all.begin(), all.end(), prefix,
          [](const TensorInfo* tensor, const std::string& name) { return tensor->name < name; });
      if (at != all.end() && (*at)->name.starts_with(prefix)) {
        ++found;
      } else {
        missing +=
            fmt::format("{}{}", missing.empty() ? "" : ", ", part.substr(0, part.size() - 1));
      }
    }
    result_.has_mtp = found == kParts.size();
    if (found > 0 && !result_.has_mtp) {
      result_.notes.push_back(
          fmt::format("layer {} is a part of an MTP layer only (without {}) and is left aside",
                      layers_, missing));
    }
  }

  void write_notes() {
    const std::string& where = quantization_.where;
    if (plain_all_the_same_.count > 0) {
      result_.notes.push_back(fmt::format("{} stored unquantized although {} says otherwise",
                                          plain_all_the_same_.what(), where));
    }
    if (quantized_all_the_same_.count > 0) {
      result_.notes.push_back(
          fmt::format("{} stored quantized although {}", quantized_all_the_same_.what(),
                      where.empty() ? "no configuration tells of it" : where + " says otherwise"));
    }
    for (const auto& [group, modules] : unreadable_) {
      result_.notes.push_back(
          fmt::format("{} in a format that is not read; nothing depends on it", modules.what()));
    }
  }

  void list_unquantized() {
    for (auto& [group, matrices] : matrices_) {
      if (matrices.plain.count == 0) continue;
      result_.unquantized.push_back({.group = group,
                                     .modules = matrices.plain.count,
                                     .of = matrices.all,
                                     .layers = ranges(matrices.plain_layers),
                                     .first = matrices.plain.first});
    }
  }

  const Checkpoint& checkpoint_;
  const Quantization& quantization_;
  const std::int64_t layers_;
  StoredFormats result_;
  std::map<std::pair<std::string, std::string>, FormatGroup> groups_;
  std::map<std::string, Matrices> matrices_;
  std::map<std::string_view, Seen> unreadable_;  // by group
  Seen plain_all_the_same_, quantized_all_the_same_;
  bool any_quantized_ = false;
};

}  // namespace

Result<StoredFormats> stored_formats(const Checkpoint& checkpoint, const Quantization& quantization,
                                     std::int64_t layers) {
  std::map<std::string, Tensors> modules;
  for (const TensorInfo* tensor : checkpoint.tensors()) {
    modules[std::string(module_of(tensor->name))].push_back(tensor);
  }
  Summary summary(checkpoint, quantization, layers);
  for (const auto& [module, tensors] : modules) GLM_TRY(summary.add(module, tensors));
  return summary.finish();
}

}  // namespace glm::runner
