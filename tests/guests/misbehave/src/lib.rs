//! Stages that misbehave, for the hostile suite.
//!
//! All worlds share this source: each `misbehave-<world>` beside this folder is a component of one
//! line. Its parameters order one [`Misdeed`] in one [`Export`]. In every other export, and without
//! orders, it is a well-behaved stage. The suite (tests/hostile) takes the names from here. Its
//! match over [`Misdeed`] has no wildcard, so a misdeed without a test does not compile.
//!
//! The stages use the generated bindings instead of the kit's traits, since the kit checks batches,
//! finishes blobs and drops handles.

mod calls;
mod deeds;
mod features;
mod forgeries;
mod impurities;
mod values;
mod worlds;

use schemars::JsonSchema;
use serde::Deserialize;
use stagewright_kit::Failure;

pub use worlds::{
    Evaluation, Ingestion, Preparation, Promotion, ShardedTraining, Stage, Training, Transformation, Validation,
};

/// Declares an enum whose variants have names, for parameters and the suite's output.
macro_rules! named {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in parameters.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// A misdeed that a stage can try.
    Misdeed {
        /// An endless loop.
        Loop = "loop",
        /// To sleep for a century, and to read what never comes.
        Sleep = "sleep",
        /// To yield for ever.
        Yield = "yield",
        /// To use some time in every call and never much.
        Dawdle = "dawdle",
        /// To ask for memory until there is no more.
        MemoryBomb = "memory-bomb",
        /// To call itself without end.
        Recursion = "recursion",
        /// To take handle after handle and drop none.
        FloodHandles = "flood-handles",
        /// To begin table after table.
        FloodTables = "flood-tables",
        /// To finish blob after blob.
        FloodBlobs = "flood-blobs",
        /// To open its source again and again.
        FloodCursors = "flood-cursors",
        /// To log a line of 40 MiB.
        GiantLogLine = "giant-log-line",
        /// To fail with a message of 40 MiB.
        GiantFailure = "giant-failure",
        /// To select a column a million times at once.
        GiantColumnList = "giant-column-list",
        /// To keep selections, each made from the one before.
        FloodSelections = "flood-selections",
        /// To select all columns of a selection, a thousand times over.
        DeepSelections = "deep-selections",
        /// To drop none of its handles, and to read from one later.
        KeepHandles = "keep-handles",
        /// To return a handle that it was given instead of a new one.
        ReturnGiven = "return-given",
        /// To return a selection of a given table as its own table.
        ReturnSelection = "return-selection",
        /// To begin a table of 200,000 columns.
        TooManyColumns = "too-many-columns",
        /// To write rows for ever.
        EndlessTable = "endless-table",
        /// To write bytes for ever.
        EndlessBlob = "endless-blob",
        /// To write long strings that the host has to keep until a chunk is full.
        HoardRows = "hoard-rows",
        /// To write ever new categories, which the host has to keep.
        HoardCategories = "hoard-categories",
        /// To write rows of no columns, which have no bytes.
        RowsWithoutColumns = "rows-without-columns",
        /// To log twice what is allowed.
        FloodLog = "flood-log",
        /// To print sixty times what is kept.
        FloodStdout = "flood-stdout",
        /// To log and print terminal escapes, and lines that imitate the host's.
        TerminalEscapes = "terminal-escapes",
        /// To report progress, sensible or not, all the time.
        FloodProgress = "flood-progress",
        /// To record endless points of curves, some of them NaN or badly named.
        FloodMetrics = "flood-metrics",
        /// To count cells under a thousand names, in missing columns, in impossible numbers.
        FloodTreatments = "flood-treatments",
        /// To add thousands of figures.
        FloodFigures = "flood-figures",
        /// To add two figures of the same name.
        DuplicateFigure = "duplicate-figure",
        /// To add a figure whose texts are script.
        ScriptFigure = "script-figure",
        /// To add figures whose names are paths.
        PathFigures = "path-figures",
        /// To open a path, as if it were a source.
        PathSource = "path-source",
        /// To write files that the host itself reads (Arrow, Parquet, SQLite, nested JSON) as state
        /// and model.
        ForgedFiles = "forged-files",
        /// To write batches whose length, offsets, codes or gaps are wrong.
        ForgedBatch = "forged-batch",
        /// To return fewer rows than it got.
        FewerRows = "fewer-rows",
        /// To rebalance into a table of other columns.
        OtherColumns = "other-columns",
        /// To remember earlier runs and other stages.
        Remember = "remember",
        /// To read clocks and randomness.
        ReadClocks = "read-clocks",
        /// To write NaNs with payloads.
        NanPayloads = "nan-payloads",
        /// To number categories in another order, with unused ones.
        CategoryOrder = "category-order",
        /// To predict NaN.
        PredictNan = "predict-nan",
        /// To predict two.
        PredictTwo = "predict-two",
        /// To predict fewer numbers than there are rows.
        PredictFew = "predict-few",
        /// To declare outputs that the task does not ask for or that do not exist.
        ForgedOutputs = "forged-outputs",
        /// To call one import for ever.
        CallForEver = "call-for-ever",
        /// To log empty lines, and to print almost empty ones.
        EmptyLines = "empty-lines",
        /// To begin wide tables without writing to them.
        WideTables = "wide-tables",
        /// To begin wide tables with names of the maximum length.
        LongNames = "long-names",
        /// To write one row each to many tables, from batches whose dictionaries fill them.
        HoardDictionaries = "hoard-dictionaries",
        /// To finish tables with many categories, and to keep them open.
        HoardTables = "hoard-tables",
        /// To finish wide tables without rows, one after the other.
        EmptyTables = "empty-tables",
        /// To make more of each row than the stage may keep, in pieces.
        HoardFeatures = "hoard-features",
        /// To begin a few artifacts in each of many instances.
        FloodShards = "flood-shards",
        /// To declare thousands of features, and to leave the work with them to the host.
        WideFeatures = "wide-features",
        /// To make a feature of one row that is longer than a batch.
        OverlongFeature = "overlong-feature",
        /// To make its answer for a row depend on something else than the row.
        Impure = "impure",
        /// To report importance that is no valid number, or for more features than there are.
        ForgedImportance = "forged-importance",
        /// To plan four billion shards.
        ManyShards = "many-shards",
        /// To report perfect metrics.
        ForgedMetrics = "forged-metrics",
        /// To report a metric twice.
        DuplicateMetrics = "duplicate-metrics",
        /// To approve what a gate refuses.
        ApproveAnyway = "approve-anyway",
        /// To begin an artifact, to log that, and never to return.
        Linger = "linger",
        /// To blame the data in megabytes of escapes, HTML and SQL.
        LongDataFault = "long-data-fault",
        /// To blame a parameter with such a text.
        LongParameterFault = "long-parameter-fault",
        /// To blame itself with such a text.
        LongInternalFault = "long-internal-fault",
        /// To return such a text in findings or reasons.
        LongFindings = "long-findings",
        /// To panic with such a text.
        Panic = "panic",
        /// To end the process.
        Exit = "exit",
    }
}

named! {
    /// The export in which a misdeed is tried.
    Export {
        /// `ingest.ingest`
        Ingest = "ingest",
        /// `prepare.prepare`
        Prepare = "prepare",
        /// `validate.validate`
        Validate = "validate",
        /// `transform.fit`
        Fit = "fit",
        /// `transformer.load`
        Load = "load",
        /// `transformer.fields`
        Fields = "fields",
        /// `transformer.transform` of training rows
        Transform = "transform",
        /// `transformer.transform` of test rows, for the evaluation
        TransformServed = "transform-served",
        /// `rebalance.rebalance`
        Rebalance = "rebalance",
        /// `train.train`
        Train = "train",
        /// `predictor.importance`
        Importance = "importance",
        /// `shards.plan-shards`
        PlanShards = "plan-shards",
        /// `shards.train-shard`
        TrainShard = "train-shard",
        /// `shards.merge`
        Merge = "merge",
        /// `predictor.load`
        LoadPredictor = "load-predictor",
        /// `predictor.outputs`
        Outputs = "outputs",
        /// `predictor.predict`
        Predict = "predict",
        /// `evaluate.evaluate`
        Evaluate = "evaluate",
        /// `decide.decide`
        Decide = "decide",
    }
}

named! {
    /// A way in which a batch can be wrong.
    Forgery {
        /// It claims one row more than its columns have.
        OneRowMore = "one-row-more",
        /// It claims four billion rows.
        BillionsOfRows = "billions-of-rows",
        /// Its last column is missing.
        ColumnMissing = "column-missing",
        /// Its last eight bytes are missing.
        CutShort = "cut-short",
        /// Eight bytes follow its last column.
        Trailing = "trailing",
        /// The padding after a piece is not zero.
        Padding = "padding",
        /// The first offset is not 0.
        OffsetsStart = "offsets-start",
        /// An offset is less than the one before.
        OffsetsFall = "offsets-fall",
        /// An offset is negative.
        OffsetNegative = "offset-negative",
        /// The last offset lies past the batch.
        OffsetsEnd = "offsets-end",
        /// Text is no UTF-8.
        TextNotUtf8 = "text-not-utf8",
        /// A code names no category.
        CodeTooLarge = "code-too-large",
        /// A code is negative.
        CodeNegative = "code-negative",
        /// A category is there twice.
        CategoryTwice = "category-twice",
        /// A category is no UTF-8.
        CategoryNotUtf8 = "category-not-utf8",
        /// There are minus one categories.
        CategoriesNegative = "categories-negative",
        /// The number of categories is a little larger than written.
        CategoriesMore = "categories-more",
        /// There are two billion categories.
        CategoriesBillions = "categories-billions",
        /// The number of categories is the largest of 64 bits.
        CategoriesEndless = "categories-endless",
        /// Bits past the last row are set.
        TrailingBits = "trailing-bits",
        /// It has nine million bytes.
        TooLarge = "too-large",
    }
}

named! {
    /// A thing besides the row that its answer can depend on.
    Impurity {
        /// The row's position in the table.
        TablePosition = "table-position",
        /// The row's position in the batch.
        BatchPosition = "batch-position",
        /// The number of rows in the batch.
        BatchSize = "batch-size",
        /// The content of the batch's other rows.
        OtherRows = "other-rows",
        /// The row before it, in any call.
        RowBefore = "row-before",
        /// The number of calls of the instance.
        Calls = "calls",
        /// Whether it is the instance's first call.
        FirstCall = "first-call",
        /// The time of day.
        TimeOfDay = "time-of-day",
        /// A random number.
        Random = "random",
        /// The row's position, in batches of more than twenty rows only.
        LargeBatches = "large-batches",
    }
}

named! {
    /// An import, named as in `wit/`: its interface and function.
    Call {
        /// The types of the columns.
        Fields = "tables#[method]table.fields",
        /// The roles of the columns.
        Roles = "tables#[method]table.roles",
        /// The number of rows.
        Rows = "tables#[method]table.rows",
        /// A selection of columns.
        Select = "tables#[method]table.select",
        /// Some rows.
        Read = "tables#[method]table.read",
        /// A new table.
        NewTableWriter = "tables#[constructor]table-writer",
        /// Rows for the new table.
        WriteTable = "tables#[method]table-writer.write",
        /// The end of the new table.
        FinishTable = "tables#[static]table-writer.finish",
        /// The size in bytes.
        Size = "blobs#[method]blob.size",
        /// Some bytes.
        ReadBlob = "blobs#[method]blob.read",
        /// A new blob.
        NewBlobWriter = "blobs#[constructor]blob-writer",
        /// Bytes for the new blob.
        WriteBlob = "blobs#[method]blob-writer.write",
        /// The end of the new blob.
        FinishBlob = "blobs#[static]blob-writer.finish",
        /// A source.
        Open = "sources#open",
        /// Its columns.
        CursorFields = "sources#[method]cursor.fields",
        /// Its rows.
        Next = "sources#[method]cursor.next",
        /// The numbers that it predicts.
        Outputs = "models#[method]model.outputs",
        /// Predictions.
        Predict = "models#[method]model.predict",
        /// The importance in a model.
        Importance = "models#[method]model.importance",
        /// A log line.
        Log = "tracking#log",
        /// Progress.
        Progress = "tracking#progress",
        /// A point of a curve.
        Metric = "tracking#metric",
        /// A count of treated cells.
        Count = "tracking#count",
        /// A figure.
        AddFigure = "tracking#add-figure",
    }
}

named! {
    /// A function of WASI that a stage can call, by interface and name. `misbehave-wasi` calls it
    /// for ever. Functions that need unavailable handles are missing: descriptors, sockets, errors
    /// of streams.
    WasiCall {
        /// Whether a wait is over.
        Ready = "wasi:io/poll#[method]pollable.ready",
        /// A wait.
        Block = "wasi:io/poll#[method]pollable.block",
        /// A wait for several.
        Poll = "wasi:io/poll#poll",
        /// Standard input.
        Read = "wasi:io/streams#[method]input-stream.read",
        /// A blocking read.
        BlockingRead = "wasi:io/streams#[method]input-stream.blocking-read",
        /// A skip.
        Skip = "wasi:io/streams#[method]input-stream.skip",
        /// A blocking skip.
        BlockingSkip = "wasi:io/streams#[method]input-stream.blocking-skip",
        /// A pollable of standard input.
        SubscribeInput = "wasi:io/streams#[method]input-stream.subscribe",
        /// The space in standard output.
        CheckWrite = "wasi:io/streams#[method]output-stream.check-write",
        /// Standard output.
        Write = "wasi:io/streams#[method]output-stream.write",
        /// A blocking write.
        BlockingWriteAndFlush = "wasi:io/streams#[method]output-stream.blocking-write-and-flush",
        /// A flush.
        Flush = "wasi:io/streams#[method]output-stream.flush",
        /// A blocking flush.
        BlockingFlush = "wasi:io/streams#[method]output-stream.blocking-flush",
        /// A pollable of standard output.
        SubscribeOutput = "wasi:io/streams#[method]output-stream.subscribe",
        /// As many zeros as possible.
        WriteZeroes = "wasi:io/streams#[method]output-stream.write-zeroes",
        /// A blocking write of zeros.
        BlockingWriteZeroes = "wasi:io/streams#[method]output-stream.blocking-write-zeroes-and-flush",
        /// A copy from input to output.
        Splice = "wasi:io/streams#[method]output-stream.splice",
        /// A blocking copy.
        BlockingSplice = "wasi:io/streams#[method]output-stream.blocking-splice",
        /// Environment variables.
        GetEnvironment = "wasi:cli/environment#get-environment",
        /// Arguments.
        GetArguments = "wasi:cli/environment#get-arguments",
        /// The working folder.
        InitialCwd = "wasi:cli/environment#initial-cwd",
        /// The exit, which happens once.
        Exit = "wasi:cli/exit#exit",
        /// Standard input.
        GetStdin = "wasi:cli/stdin#get-stdin",
        /// Standard output.
        GetStdout = "wasi:cli/stdout#get-stdout",
        /// Standard error.
        GetStderr = "wasi:cli/stderr#get-stderr",
        /// A terminal.
        GetTerminalStdin = "wasi:cli/terminal-stdin#get-terminal-stdin",
        /// A terminal.
        GetTerminalStdout = "wasi:cli/terminal-stdout#get-terminal-stdout",
        /// A terminal.
        GetTerminalStderr = "wasi:cli/terminal-stderr#get-terminal-stderr",
        /// The monotonic clock.
        Now = "wasi:clocks/monotonic-clock#now",
        /// The resolution of that clock.
        Resolution = "wasi:clocks/monotonic-clock#resolution",
        /// A timer.
        SubscribeInstant = "wasi:clocks/monotonic-clock#subscribe-instant",
        /// A timer.
        SubscribeDuration = "wasi:clocks/monotonic-clock#subscribe-duration",
        /// The time of day.
        WallNow = "wasi:clocks/wall-clock#now",
        /// The resolution of that clock.
        WallResolution = "wasi:clocks/wall-clock#resolution",
        /// Random bytes.
        GetRandomBytes = "wasi:random/random#get-random-bytes",
        /// A random number.
        GetRandomU64 = "wasi:random/random#get-random-u64",
        /// Insecure random bytes.
        GetInsecureRandomBytes = "wasi:random/insecure#get-insecure-random-bytes",
        /// An insecure random number.
        GetInsecureRandomU64 = "wasi:random/insecure#get-insecure-random-u64",
        /// A seed.
        InsecureSeed = "wasi:random/insecure-seed#insecure-seed",
        /// Preopened folders.
        GetDirectories = "wasi:filesystem/preopens#get-directories",
        /// A network.
        InstanceNetwork = "wasi:sockets/instance-network#instance-network",
        /// A socket.
        CreateTcpSocket = "wasi:sockets/tcp-create-socket#create-tcp-socket",
        /// A socket.
        CreateUdpSocket = "wasi:sockets/udp-create-socket#create-udp-socket",
        /// A name's addresses.
        ResolveAddresses = "wasi:sockets/ip-name-lookup#resolve-addresses",
    }
}

/// The orders of a stage. They are its parameters, and also its fitted state or model, so that
/// exports without parameters know them too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Orders {
    /// The misdeed's name; empty for none.
    pub misdeed: String,
    /// The name of the export in which to do it.
    pub export: String,
    /// The forgery's name, for `forged-batch`.
    pub forgery: String,
    /// The impurity's name, for `impure`.
    pub impurity: String,
    /// The import's name, for `call-for-ever`.
    pub call: String,
    /// Selects one of several ways; for `dawdle`, the number of repeats.
    pub variant: u32,
}

impl Orders {
    fn parse(json: &str) -> Result<Self, Failure> {
        stagewright_kit::parameters::parse(json)
    }

    /// Returns whether a misdeed is ordered in an export.
    fn is(&self, misdeed: Misdeed, export: Export) -> bool {
        self.misdeed == misdeed.name() && self.export == export.name()
    }

    /// Returns the misdeed that is ordered in an export.
    fn here(&self, export: Export) -> Option<Misdeed> {
        // Every export dawdles, because the sum counts.
        Misdeed::ALL.iter().copied().find(|misdeed| self.is(*misdeed, export)).or_else(|| {
            (self.misdeed == Misdeed::Dawdle.name() || self.misdeed == Misdeed::Remember.name())
                .then(|| Misdeed::ALL.iter().copied().find(|misdeed| self.misdeed == misdeed.name()))
                .flatten()
        })
    }

    fn call(&self) -> Result<Call, Failure> {
        Call::ALL
            .iter()
            .copied()
            .find(|call| call.name() == self.call)
            .ok_or_else(|| Failure::parameter("call", "there is no such import"))
    }

    fn impurity(&self) -> Result<Impurity, Failure> {
        Impurity::ALL
            .iter()
            .copied()
            .find(|impurity| impurity.name() == self.impurity)
            .ok_or_else(|| Failure::parameter("impurity", "there is no such impurity"))
    }

    fn forgery(&self) -> Result<Forgery, Failure> {
        Forgery::ALL
            .iter()
            .copied()
            .find(|forgery| forgery.name() == self.forgery)
            .ok_or_else(|| Failure::parameter("forgery", "there is no such forgery"))
    }
}
