//! Stages that misbehave, for the hostile suite.
//!
//! One source for all worlds: `misbehave-<world>` beside this folder is a component of one line.
//! Its parameters order one [`Misdeed`] in one [`Export`]; in every other export, and with no
//! orders, it is a well-behaved stage. The suite (tests/hostile) takes the names from here, and its
//! match over [`Misdeed`] has no wildcard: a misdeed without a test does not compile.
//!
//! The stages speak to the generated bindings and not through the kit's traits, which are too
//! polite: they check batches, finish blobs and drop handles.

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

/// An enum whose variants have names, for parameters and for what the suite prints.
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
    /// What a stage can try.
    Misdeed {
        /// An endless loop.
        Loop = "loop",
        /// To sleep for a century, and to read what never comes.
        Sleep = "sleep",
        /// To give way again and again, for ever.
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
        /// To fail with a text of 40 MiB.
        GiantFailure = "giant-failure",
        /// To select a column a million times at once.
        GiantColumnList = "giant-column-list",
        /// To keep selection after selection, each of the one before.
        FloodSelections = "flood-selections",
        /// To select all columns of a selection, a thousand times over.
        DeepSelections = "deep-selections",
        /// To drop no handle that it is given, and to read from one later.
        KeepHandles = "keep-handles",
        /// To return a handle that it was given, as if it had made it.
        ReturnGiven = "return-given",
        /// To return a selection of a table, as if it were a table of its own.
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
        /// To log and print what a terminal obeys, and lines that look like the host's.
        TerminalEscapes = "terminal-escapes",
        /// To report progress, sensible or not, all the time.
        FloodProgress = "flood-progress",
        /// To record endless points of curves, some not numbers, some badly named.
        FloodMetrics = "flood-metrics",
        /// To count cells under a thousand words, in columns that are not there, more than there
        /// can be.
        FloodTreatments = "flood-treatments",
        /// To add thousands of figures.
        FloodFigures = "flood-figures",
        /// To add two figures of one name.
        DuplicateFigure = "duplicate-figure",
        /// To add a figure whose texts are script.
        ScriptFigure = "script-figure",
        /// To add figures whose names are paths.
        PathFigures = "path-figures",
        /// To open a path, as if it were a source.
        PathSource = "path-source",
        /// To pass off the files that the host itself reads (Arrow, Parquet, SQLite, nested JSON)
        /// as state and model.
        ForgedFiles = "forged-files",
        /// To write batches whose length, offsets, codes or gaps are wrong.
        ForgedBatch = "forged-batch",
        /// To return fewer rows than came.
        FewerRows = "fewer-rows",
        /// To rebalance into another table.
        OtherColumns = "other-columns",
        /// To remember earlier runs and other stages.
        Remember = "remember",
        /// To read clocks and randomness.
        ReadClocks = "read-clocks",
        /// To write NaNs with payloads.
        NanPayloads = "nan-payloads",
        /// To number categories in another order, and to list some that no row has.
        CategoryOrder = "category-order",
        /// To predict NaN.
        PredictNan = "predict-nan",
        /// To predict two.
        PredictTwo = "predict-two",
        /// To predict fewer numbers than there are rows.
        PredictFew = "predict-few",
        /// To say that it predicts something else than the task asks for, or what nobody can.
        ForgedOutputs = "forged-outputs",
        /// To call one import for ever.
        CallForEver = "call-for-ever",
        /// To log lines that say nothing, and to print nearly as little.
        EmptyLines = "empty-lines",
        /// To begin wide tables and to write nothing.
        WideTables = "wide-tables",
        /// The same with names as long as names may be.
        LongNames = "long-names",
        /// To write one row each to many tables, from batches whose dictionaries fill them.
        HoardDictionaries = "hoard-dictionaries",
        /// To finish tables with many categories, and to keep them open.
        HoardTables = "hoard-tables",
        /// To finish wide tables without rows, one after the other.
        EmptyTables = "empty-tables",
        /// To make more of each row than the stage may keep, piece by piece.
        HoardFeatures = "hoard-features",
        /// To begin a few artifacts in each of many instances.
        FloodShards = "flood-shards",
        /// To declare thousands of features, and to leave the work with them to the host.
        WideFeatures = "wide-features",
        /// To make a feature of one row that is longer than a batch.
        OverlongFeature = "overlong-feature",
        /// To let its answer for a row hang on something else than the row.
        Impure = "impure",
        /// To claim importance in figures that are none, or for more features than there are.
        ForgedImportance = "forged-importance",
        /// To want four billion shards.
        ManyShards = "many-shards",
        /// To report perfect metrics.
        ForgedMetrics = "forged-metrics",
        /// To report a metric twice.
        DuplicateMetrics = "duplicate-metrics",
        /// To approve what a gate refuses.
        ApproveAnyway = "approve-anyway",
        /// To begin an artifact, to say so, and never to come back.
        Linger = "linger",
        /// To blame the data in megabytes of escapes, HTML and SQL.
        LongDataFault = "long-data-fault",
        /// The same with a parameter.
        LongParameterFault = "long-parameter-fault",
        /// The same with itself.
        LongInternalFault = "long-internal-fault",
        /// The same in findings or reasons.
        LongFindings = "long-findings",
        /// To panic with such a text.
        Panic = "panic",
        /// To end the process.
        Exit = "exit",
    }
}

named! {
    /// Where a misdeed is tried.
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
    /// How a batch can be wrong.
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
        /// The gap after a piece has something else than zeros.
        Padding = "padding",
        /// Strings begin past the first byte.
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
        /// There are some more categories than were written.
        CategoriesMore = "categories-more",
        /// There are two billion categories.
        CategoriesBillions = "categories-billions",
        /// There are as many categories as a number of 64 bits can say.
        CategoriesEndless = "categories-endless",
        /// Bits past the last row are set.
        TrailingBits = "trailing-bits",
        /// It has nine million bytes.
        TooLarge = "too-large",
    }
}

named! {
    /// What the answer for a row can hang on besides the row.
    Impurity {
        /// The row's place in the table.
        TablePosition = "table-position",
        /// Its place in the batch.
        BatchPosition = "batch-position",
        /// How many rows the batch has.
        BatchSize = "batch-size",
        /// What the other rows of the batch hold.
        OtherRows = "other-rows",
        /// The row before it, in whatever call.
        RowBefore = "row-before",
        /// How often the instance was called.
        Calls = "calls",
        /// Whether it is the instance's first call.
        FirstCall = "first-call",
        /// The time of day.
        TimeOfDay = "time-of-day",
        /// A random number.
        Random = "random",
        /// Its place, in batches of more than twenty rows alone.
        LargeBatches = "large-batches",
    }
}

named! {
    /// An import, as `wit/` has it: its interface, and its function's name there.
    Call {
        /// The types of the columns.
        Fields = "tables#[method]table.fields",
        /// The roles of the columns.
        Roles = "tables#[method]table.roles",
        /// How many rows there are.
        Rows = "tables#[method]table.rows",
        /// Some of its columns.
        Select = "tables#[method]table.select",
        /// Some of its rows.
        Read = "tables#[method]table.read",
        /// A new table.
        NewTableWriter = "tables#[constructor]table-writer",
        /// Rows for it.
        WriteTable = "tables#[method]table-writer.write",
        /// Its end.
        FinishTable = "tables#[static]table-writer.finish",
        /// How many bytes there are.
        Size = "blobs#[method]blob.size",
        /// Some of them.
        ReadBlob = "blobs#[method]blob.read",
        /// A new blob.
        NewBlobWriter = "blobs#[constructor]blob-writer",
        /// Bytes for it.
        WriteBlob = "blobs#[method]blob-writer.write",
        /// Its end.
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
        /// A line.
        Log = "tracking#log",
        /// How far it is.
        Progress = "tracking#progress",
        /// A point of a curve.
        Metric = "tracking#metric",
        /// Cells that were treated.
        Count = "tracking#count",
        /// A figure.
        AddFigure = "tracking#add-figure",
    }
}

named! {
    /// A function of WASI that a stage can call, by interface and name; `misbehave-wasi` calls it
    /// for ever. What cannot be had is missing: descriptors, sockets, errors of streams.
    WasiCall {
        /// Whether somebody has to wait.
        Ready = "wasi:io/poll#[method]pollable.ready",
        /// To wait.
        Block = "wasi:io/poll#[method]pollable.block",
        /// To wait for several.
        Poll = "wasi:io/poll#poll",
        /// Standard input.
        Read = "wasi:io/streams#[method]input-stream.read",
        /// Waiting for it.
        BlockingRead = "wasi:io/streams#[method]input-stream.blocking-read",
        /// Leaving some of it out.
        Skip = "wasi:io/streams#[method]input-stream.skip",
        /// Waiting for what is left out.
        BlockingSkip = "wasi:io/streams#[method]input-stream.blocking-skip",
        /// Being told.
        SubscribeInput = "wasi:io/streams#[method]input-stream.subscribe",
        /// Whether there is room.
        CheckWrite = "wasi:io/streams#[method]output-stream.check-write",
        /// Standard output.
        Write = "wasi:io/streams#[method]output-stream.write",
        /// Waiting for room.
        BlockingWriteAndFlush = "wasi:io/streams#[method]output-stream.blocking-write-and-flush",
        /// Passing it on.
        Flush = "wasi:io/streams#[method]output-stream.flush",
        /// Waiting for that.
        BlockingFlush = "wasi:io/streams#[method]output-stream.blocking-flush",
        /// Being told.
        SubscribeOutput = "wasi:io/streams#[method]output-stream.subscribe",
        /// Zeros, as many as there may be.
        WriteZeroes = "wasi:io/streams#[method]output-stream.write-zeroes",
        /// The same, waiting.
        BlockingWriteZeroes = "wasi:io/streams#[method]output-stream.blocking-write-zeroes-and-flush",
        /// From the one to the other.
        Splice = "wasi:io/streams#[method]output-stream.splice",
        /// The same, waiting.
        BlockingSplice = "wasi:io/streams#[method]output-stream.blocking-splice",
        /// Variables.
        GetEnvironment = "wasi:cli/environment#get-environment",
        /// Arguments.
        GetArguments = "wasi:cli/environment#get-arguments",
        /// The folder.
        InitialCwd = "wasi:cli/environment#initial-cwd",
        /// The end, which comes once.
        Exit = "wasi:cli/exit#exit",
        /// A stream.
        GetStdin = "wasi:cli/stdin#get-stdin",
        /// A stream.
        GetStdout = "wasi:cli/stdout#get-stdout",
        /// A stream.
        GetStderr = "wasi:cli/stderr#get-stderr",
        /// A terminal.
        GetTerminalStdin = "wasi:cli/terminal-stdin#get-terminal-stdin",
        /// A terminal.
        GetTerminalStdout = "wasi:cli/terminal-stdout#get-terminal-stdout",
        /// A terminal.
        GetTerminalStderr = "wasi:cli/terminal-stderr#get-terminal-stderr",
        /// The clock.
        Now = "wasi:clocks/monotonic-clock#now",
        /// How fine it is.
        Resolution = "wasi:clocks/monotonic-clock#resolution",
        /// A timer.
        SubscribeInstant = "wasi:clocks/monotonic-clock#subscribe-instant",
        /// A timer.
        SubscribeDuration = "wasi:clocks/monotonic-clock#subscribe-duration",
        /// The time of day.
        WallNow = "wasi:clocks/wall-clock#now",
        /// How fine it is.
        WallResolution = "wasi:clocks/wall-clock#resolution",
        /// Chance.
        GetRandomBytes = "wasi:random/random#get-random-bytes",
        /// Chance.
        GetRandomU64 = "wasi:random/random#get-random-u64",
        /// Chance.
        GetInsecureRandomBytes = "wasi:random/insecure#get-insecure-random-bytes",
        /// Chance.
        GetInsecureRandomU64 = "wasi:random/insecure#get-insecure-random-u64",
        /// Chance.
        InsecureSeed = "wasi:random/insecure-seed#insecure-seed",
        /// Folders.
        GetDirectories = "wasi:filesystem/preopens#get-directories",
        /// A network.
        InstanceNetwork = "wasi:sockets/instance-network#instance-network",
        /// A socket.
        CreateTcpSocket = "wasi:sockets/tcp-create-socket#create-tcp-socket",
        /// A socket.
        CreateUdpSocket = "wasi:sockets/udp-create-socket#create-udp-socket",
        /// An address.
        ResolveAddresses = "wasi:sockets/ip-name-lookup#resolve-addresses",
    }
}

/// What a stage is to do: its parameters, and what it stores as fitted state or model, so that the
/// exports that get no parameters know it too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Orders {
    /// A misdeed's name; none if empty.
    pub misdeed: String,
    /// The export's name in which to do it.
    pub export: String,
    /// The forgery's name, for `forged-batch`.
    pub forgery: String,
    /// The impurity's name, for `impure`.
    pub impurity: String,
    /// The import's name, for `call-for-ever`.
    pub call: String,
    /// Which of several ways; of `dawdle`, how often over.
    pub variant: u32,
}

impl Orders {
    fn parse(json: &str) -> Result<Self, Failure> {
        stagewright_kit::parameters::parse(json)
    }

    /// Whether this is ordered here.
    fn is(&self, misdeed: Misdeed, export: Export) -> bool {
        self.misdeed == misdeed.name() && self.export == export.name()
    }

    /// What is ordered here, if anything is.
    fn here(&self, export: Export) -> Option<Misdeed> {
        // Dawdling is done everywhere: it is the sum that counts.
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
