// The `tern` dialect's C++ face: include this to use its ops, attributes and types.
#ifndef TERN_COMPILER_DIALECT_TERN_TERNDIALECT_H
#define TERN_COMPILER_DIALECT_TERN_TERNDIALECT_H

#include "compiler/Encoding/Encoding.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "compiler/Dialect/Tern/TernDialect.h.inc"
#define GET_ATTRDEF_CLASSES
#include "compiler/Dialect/Tern/TernAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "compiler/Dialect/Tern/TernTypes.h.inc"
#define GET_OP_CLASSES
#include "compiler/Dialect/Tern/TernOps.h.inc"

#endif
